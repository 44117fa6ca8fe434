"""Whole servers, as `tests/harness` makes them, and people with the IM API."""

from __future__ import annotations

import pytest

from tests.harness.fixtures import alice, bob, carol, make_server, quick_server, server
from tests.harness.im_user import ImUser
from tests.harness.server import Server

__all__ = ["alice", "bob", "carol", "make_server", "quick_server", "server"]


@pytest.fixture
def ann(server: Server) -> ImUser:
    return ImUser(server.drive(server.user("ann")))


@pytest.fixture
def ben(server: Server) -> ImUser:
    return ImUser(server.drive(server.user("ben")))


@pytest.fixture
def cat(server: Server) -> ImUser:
    return ImUser(server.drive(server.user("cat")))
