"""What a server stands in: the world's time, chance, threads and disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.passwords import Executor
from storage.database import Database


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
    """The reactor that connections to other people's machines are made with; None where nobody can be reached."""
