"""Whole servers, as `tests/harness` makes them."""

from __future__ import annotations

from tests.harness.fixtures import quick_server

__all__ = ["quick_server"]
