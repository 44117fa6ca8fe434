"""Events that cannot be judged yet: what they refer to, or the key that signed them, cannot be had now.

Whoever sent such an event will not send it again, and in most rooms the next event leads back to it. But after the
event that removes our users there is no next one, so each is kept and tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from homeserver.errors import HearthError, KeysUnavailable, RemoteError
from homeserver.events.event import Event
from homeserver.ids import EventID, ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.retries import Retries
from homeserver.runtime.tasks import Tasks
from storage import late_events as rows
from storage.database import Database
from storage.late_events import LateEvent

_log = structlog.get_logger(__name__)

KEPT_PER_ROOM = 100
FIRST_WAIT_MS = 30_000
LONGEST_WAIT_MS = 3600 * 1000
GIVEN_UP_AFTER_MS = 3 * 24 * 3600 * 1000


class LateEvents:
    """Keeps them, across restarts too; `receive` tries one once more."""

    def __init__(
        self, db: Database, clock: Clock, tasks: Tasks, receive: Callable[[LateEvent], Awaitable[object]]
    ) -> None:
        self._db = db
        self._clock = clock
        self._receive = receive
        self._retries: Retries[EventID] = Retries(
            clock,
            tasks,
            self._try,
            what="receive late",
            first_wait_ms=FIRST_WAIT_MS,
            longest_wait_ms=LONGEST_WAIT_MS,
        )

    async def start(self) -> None:
        for event_id in await self._db.read(rows.list_all):
            self._retries.plan(event_id)

    def stop(self) -> None:
        self._retries.stop()

    async def keep(self, origin: ServerName, event: Event) -> None:
        """Try the event again later; of a room that has many such events already it is left to the next one."""
        late = LateEvent(event.event_id, event.room_id, origin, event.json, self._clock.now_ms())
        if await self._db.run(rows.save, late, limit=KEPT_PER_ROOM):
            self._retries.plan(event.event_id)

    async def _try(self, event_id: EventID) -> bool:
        late = await self._db.read(rows.find, event_id)
        if late is None:
            return True
        try:
            await self._receive(late)
        except (RemoteError, KeysUnavailable) as error:
            if self._clock.now_ms() - late.since_ms < GIVEN_UP_AFTER_MS:
                return False
            _log.info("a late event is given up", event_id=event_id, reason=str(error))
        except HearthError as error:
            _log.info("a late event is refused", event_id=event_id, reason=str(error))
        await self._db.run(rows.delete, event_id)
        return True
