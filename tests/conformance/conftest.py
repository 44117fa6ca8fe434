"""Whole servers, as `tests/harness` makes them."""

from __future__ import annotations

from tests.harness.fixtures import make_server, quick_server

__all__ = ["make_server", "quick_server"]
