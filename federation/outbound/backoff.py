"""Which servers do not answer, and when each is tried again.

A server that fails is left alone for longer each time. Whatever it sends us shows that it is back, so an inbound
request clears the wait. What is known survives a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from config.federation import FederationClientConfig
from homeserver.errors import RemoteError
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage import federation as rows
from storage.database import Database
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

_JITTER = 0.2
"""Servers that failed together are not all tried again together."""


class BackingOff(RemoteError):
    """The server failed lately and is not asked before `retry_at_ms`."""

    def __init__(self, server: ServerName, retry_at_ms: int) -> None:
        super().__init__(f"{server} failed lately and is left alone for now")
        self.retry_at_ms = retry_at_ms


@dataclass(slots=True)
class Trouble:
    """A server that fails: since when, how long it is left alone, and until when."""

    failing_since_ms: int
    interval_ms: int
    retry_at_ms: int


class Backoff:
    """The servers in trouble, in memory and in the database."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        tasks: Tasks,
        config: FederationClientConfig,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._tasks = tasks
        self._config = config
        self._troubles: dict[ServerName, Trouble] = {}
        self._listeners: list[Callable[[ServerName], None]] = []

    async def load(self) -> None:
        """Remember what was known when the process ended."""
        for row in await self._db.read(rows.list_destinations):
            if row.failing_since_ms is not None:
                self._troubles[ServerName(row.server)] = Trouble(
                    row.failing_since_ms, row.retry_interval_ms or 0, row.retry_at_ms or 0
                )

    def on_cleared(self, listener: Callable[[ServerName], None]) -> None:
        """Be told when a server may be tried again before its time."""
        self._listeners.append(listener)

    def find(self, server: ServerName) -> Trouble | None:
        return self._troubles.get(server)

    def wait_ms(self, server: ServerName) -> int:
        """For how long the server is to be left alone; 0 if it may be asked."""
        trouble = self._troubles.get(server)
        return 0 if trouble is None else max(0, trouble.retry_at_ms - self._clock.now_ms())

    def check(self, server: ServerName) -> None:
        """Whether the server may be asked.

        Raises:
            BackingOff: it is to be left alone.
        """
        if self.wait_ms(server):
            raise BackingOff(server, self._troubles[server].retry_at_ms)

    def failed(self, server: ServerName, *, asked_ms: int, retry_after_ms: int = 0) -> None:
        """The server did not answer a request made at `asked_ms`, or asked to be left alone."""
        trouble = self._troubles.get(server)
        now_ms = self._clock.now_ms()
        if trouble is None:
            trouble = self._troubles[server] = Trouble(
                now_ms, self._config.destination_min_retry_interval_ms, 0
            )
            _log.info("a server does not answer", server=server)
        elif asked_ms < trouble.retry_at_ms:
            # One of several requests that failed together counts.
            return
        else:
            longer = int(trouble.interval_ms * self._config.destination_retry_multiplier)
            trouble.interval_ms = min(longer, self._config.destination_max_retry_interval_ms)
        jittered = trouble.interval_ms * self._randomness.uniform(1 - _JITTER, 1 + _JITTER)
        trouble.retry_at_ms = now_ms + max(int(jittered), retry_after_ms)
        self._tasks.spawn(f"remember that {server} fails", self._save(server, trouble))

    def answered(self, server: ServerName) -> None:
        """The server has answered a request."""
        self._clear(server, self._clock.now_ms())

    def heard_from(self, server: ServerName) -> None:
        """The server has sent us an authenticated request: it is worth a try."""
        self._clear(server, None)

    def reset(self, server: ServerName) -> None:
        """An administrator wants the server to be tried now."""
        self._clear(server, None)

    def _clear(self, server: ServerName, now_ms: int | None) -> None:
        if server not in self._troubles:
            return
        trouble = self._troubles.pop(server)
        _log.info("a server is back", server=server, failing_since_ms=trouble.failing_since_ms)
        self._tasks.spawn(f"remember that {server} is back", self._forget(server, now_ms))
        for listener in self._listeners:
            listener(server)

    async def _save(self, server: ServerName, trouble: Trouble) -> None:
        await self._db.run(_save, server, trouble)

    async def _forget(self, server: ServerName, now_ms: int | None) -> None:
        await self._db.run(rows.clear_backoff, server, now_ms)


def _save(txn: Transaction, server: ServerName, trouble: Trouble) -> None:
    rows.save_backoff(
        txn,
        server,
        failing_since_ms=trouble.failing_since_ms,
        retry_at_ms=trouble.retry_at_ms,
        retry_interval_ms=trouble.interval_ms,
    )
