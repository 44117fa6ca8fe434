"""Joins whose outcome is not known, and finding it out.

Between sending a join to another server and reading its answer, we do not know whether our user is in the room. If the
answer never comes, the room's servers may count our user in while we do not; so the join is remembered before it is
sent, and whatever became of it is settled afterwards, in the background, and after a restart too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from homeserver.errors import HearthError
from homeserver.ids import RoomID, ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.retries import Retries
from homeserver.runtime.tasks import Tasks
from storage import unsure_joins as rows
from storage.database import Database
from storage.unsure_joins import UnsureJoin

_log = structlog.get_logger(__name__)

FIRST_WAIT_MS = 10_000
LONGEST_WAIT_MS = 3600 * 1000
GIVEN_UP_AFTER_MS = 14 * 24 * 3600 * 1000
"""A server that is away for longer is not asked any more."""

Settle = Callable[[UnsureJoin], Awaitable[bool]]
"""Find out what became of a join; whether that is known now."""


class UnsureJoins:
    """Remembers joins while they are under way, and settles those that were not answered."""

    def __init__(self, db: Database, clock: Clock, tasks: Tasks, settle: Settle) -> None:
        self._db = db
        self._clock = clock
        self._settle = settle
        self._retries: Retries[tuple[RoomID, UserID]] = Retries(
            clock,
            tasks,
            self._try,
            what="settle the join",
            first_wait_ms=FIRST_WAIT_MS,
            longest_wait_ms=LONGEST_WAIT_MS,
        )

    async def start(self) -> None:
        """Take up what was under way when the process ended."""
        for join in await self._db.read(rows.list_all):
            self.doubt(join.room_id, join.user_id)

    def stop(self) -> None:
        self._retries.stop()

    async def begin(
        self, room_id: RoomID, user_id: UserID, server: ServerName, content: Mapping[str, Any]
    ) -> None:
        """The join is about to be sent."""
        join = UnsureJoin(room_id, user_id, server, msgspec.json.encode(content), self._clock.now_ms())
        await self._db.run(rows.save, join)

    async def end(self, room_id: RoomID, user_id: UserID) -> None:
        """The outcome is known."""
        await self._db.run(rows.delete, room_id, user_id)

    def doubt(self, room_id: RoomID, user_id: UserID) -> None:
        """There was no answer that could be used."""
        self._retries.plan((room_id, user_id))

    async def _try(self, key: tuple[RoomID, UserID]) -> bool:
        room_id, user_id = key
        join = await self._db.read(rows.find, room_id, user_id)
        if join is None:
            return True
        is_known = self._clock.now_ms() - join.since_ms > GIVEN_UP_AFTER_MS
        try:
            is_known = is_known or await self._settle(join)
        except HearthError as error:
            _log.info("a join is still unsure", room=room_id, user=user_id, reason=str(error))
        if is_known:
            await self.end(room_id, user_id)
        return is_known
