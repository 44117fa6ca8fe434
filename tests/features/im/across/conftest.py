"""People with the IM API on two servers of one network."""

from __future__ import annotations

import pytest

from tests.features.federation.conftest import make_peer, network, one, two
from tests.harness.im_user import ImUser
from tests.harness.server import Server

__all__ = ["make_peer", "network", "one", "two"]


@pytest.fixture
def ann(one: Server) -> ImUser:
    """Somebody on the first server."""
    return ImUser(one.drive(one.user("ann")))


@pytest.fixture
def abe(one: Server) -> ImUser:
    """Somebody else there."""
    return ImUser(one.drive(one.user("abe")))


@pytest.fixture
def ben(two: Server) -> ImUser:
    """Somebody on the second server."""
    return ImUser(two.drive(two.user("ben")))


@pytest.fixture
def bea(two: Server) -> ImUser:
    """Somebody else there."""
    return ImUser(two.drive(two.user("bea")))
