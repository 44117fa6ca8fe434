"""Reports: what users complain of, kept for the server's administrators.

Spec: https://spec.matrix.org/v1.19/client-server-api/#reporting-content
"""

from __future__ import annotations

from homeserver.errors import NotFound
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import reports, users
from storage.database import Database
from storage.reports import Report

MAX_REASON = 10_000


class Reports:
    """Takes reports. Nobody learns from them what they could not see."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        rooms: Rooms,
        access: RoomAccess,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._rooms = rooms
        self._access = access
        self._server_name = server_name

    async def report_event(
        self, reporter: UserID, room_id: RoomID, event_id: EventID, reason: str | None, score: int | None
    ) -> None:
        """Report an event.

        Raises:
            NotFound: there is none, or the reporter may not see it.
        """
        if not await self._access.is_joined(room_id, reporter):
            raise NotFound("there is no such event, or you are not in its room")
        await self._access.event(room_id, event_id, reporter)
        await self._keep(reporter, reason, room_id=room_id, event_id=event_id, score=score)

    async def report_room(self, reporter: UserID, room_id: RoomID, reason: str | None) -> None:
        """Report a room, be the reporter in it or not.

        Raises:
            NotFound: this server does not know it.
        """
        await self._rooms.load(room_id)
        await self._keep(reporter, reason, room_id=room_id)

    async def report_user(self, reporter: UserID, user_id: UserID, reason: str | None) -> None:
        """Report a user.

        Raises:
            NotFound: there is none, as far as this server can tell.
        """
        if domain_of(user_id) == self._server_name and not await self._db.read(users.exists, user_id):
            raise NotFound(f"no user {user_id}")
        await self._keep(reporter, reason, user_id=user_id)

    async def _keep(
        self,
        reporter: UserID,
        reason: str | None,
        *,
        room_id: RoomID | None = None,
        event_id: EventID | None = None,
        user_id: UserID | None = None,
        score: int | None = None,
    ) -> None:
        said = None if reason is None else reason[:MAX_REASON].replace("\0", "")
        report = Report(
            self._randomness.token(12),
            self._clock.now_ms(),
            reporter,
            room_id,
            event_id,
            user_id,
            said,
            score,
        )
        await self._db.run(reports.add, report)
