"""Whole servers, as `tests/harness` makes them."""

from __future__ import annotations

from tests.harness.fixtures import alice, bob, make_server, quick_server, server

__all__ = ["alice", "bob", "make_server", "quick_server", "server"]
