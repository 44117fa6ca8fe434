"""Who the tests of federation are, and the network between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from config.federation import FederationClientConfig
from federation.outbound.backoff import Backoff
from federation.outbound.policy import FederationPolicy
from homeserver.events.signatures import SigningKey
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage.database import Database
from tests.unit.federation.network import MemoryNetwork

US = ServerName("us.test")
OUR_KEY = SigningKey.of("our", b"u" * 32)


async def inline(fn: Callable[..., Any], *args: Any) -> Any:
    """Runs on the spot what the server runs on a thread."""
    return fn(*args)


@pytest.fixture
def network(clock: Clock) -> MemoryNetwork:
    return MemoryNetwork(clock)


@pytest.fixture
def backoff(database: Database, clock: Clock, randomness: Randomness, tasks: Tasks) -> Backoff:
    return Backoff(database, clock, randomness, tasks, FederationClientConfig())


@pytest.fixture
def policy() -> FederationPolicy:
    return FederationPolicy(US, denied=["Evil.test"])
