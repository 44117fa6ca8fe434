"""What a server stands in: the world's time, chance, threads and disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.http.rate_limit import SharedCounts
from homeserver.http.route_cache import SharedAnswers
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.passwords import Executor
from storage.database import Database


class SharedStore(SharedCounts, SharedAnswers, Protocol):
    """What processes share beside the database: `storage.redis_store`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Given to the composition root, which hands each service what it asks for."""

    clock: Clock
    notifier: Notifier
    tasks: Tasks
    randomness: Randomness
    executor: Executor
    metrics: Metrics
    database: Database
    network: Any = None
    shared: SharedStore | None = None
    """The reactor that connections to other people's machines are made with; None where nobody can be reached."""
