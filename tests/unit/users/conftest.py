"""Account servers for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.app.users import UserParts
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage.database import Database
from tests.unit.users.account_server import AccountServer

MakeServer = Callable[..., AccountServer]


@pytest.fixture
def make_server(
    database: Database, clock: Clock, notifier: Notifier, tasks: Tasks, randomness: Randomness
) -> MakeServer:
    """Makes a server with settings and parts of the test's choice."""

    def make(parts: UserParts | None = None, **settings: Any) -> AccountServer:
        return AccountServer(database, clock, notifier, tasks, randomness, parts, **settings)

    return make


@pytest.fixture
def server(make_server: MakeServer) -> AccountServer:
    """A server with open registration."""
    return make_server()
