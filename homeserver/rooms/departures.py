"""Users who are deactivated leave their rooms, one after the other, and go on after a restart.

Spec: https://spec.matrix.org/v1.19/client-server-api/#account-deactivation
"""

from __future__ import annotations

import structlog

from homeserver.errors import HearthError
from homeserver.ids import UserID
from homeserver.rooms.membership import Memberships
from homeserver.runtime.tasks import Tasks
from storage import membership as membership_rows
from storage import users
from storage.database import Database

_log = structlog.get_logger(__name__)


class Departures:
    """Takes deactivated users out of the rooms that they are in, are invited to or have knocked on."""

    def __init__(self, db: Database, memberships: Memberships, tasks: Tasks) -> None:
        self._db = db
        self._memberships = memberships
        self._tasks = tasks

    def begin(self, user_id: UserID) -> None:
        """Let a user leave who has just been deactivated; nobody waits for it."""
        self._tasks.spawn(f"departure of {user_id}", self._depart(user_id))

    async def resume(self) -> None:
        """Go on with those who had not left every room when the server stopped."""
        for user_id in await self._db.read(users.list_departing):
            self.begin(user_id)

    async def _depart(self, user_id: UserID) -> None:
        for membership in await self._db.read(membership_rows.list_of_user, user_id):
            if membership.membership not in ("join", "invite", "knock"):
                continue
            try:
                await self._memberships.leave(membership.room_id, user_id)
            except HearthError as error:
                # A room that cannot be left (its servers are gone) keeps nobody in the others.
                _log.warning("cannot leave a room", room=membership.room_id, user=user_id, reason=str(error))
        await self._db.run(users.remove_departing, user_id)
