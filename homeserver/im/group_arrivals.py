"""People who have asked to join a group are members as soon as they are invited: they need not say yes twice.

It follows the log, so it makes no difference who invited them, from which client or from which server.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from homeserver.errors import HearthError
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.group_shapes import GROUP
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks

_log = structlog.get_logger(__name__)


class GroupArrivals:
    """Joins local users to the groups that have let them in."""

    def __init__(
        self,
        rooms: Rooms,
        memberships: Memberships,
        notifier: Notifier,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._tasks = tasks
        self._server_name = server_name
        notifier.subscribe(self._heard)

    def _heard(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
                self._consider(entry.payload)

    def _consider(self, entry: TimelineEvent) -> None:
        event, before = entry.event, entry.replaced
        if event.type != "m.room.member" or event.content.get("membership") != "invite" or before is None:
            return
        user = UserID(event.state_key or "")
        if before.content.get("membership") == "knock" and domain_of(user) == self._server_name:
            self._tasks.spawn(f"arrival of {user}", self._arrive(event.room_id, user))

    async def _arrive(self, gid: RoomID, user_id: UserID) -> None:
        room = await self._rooms.find_or_load(gid)
        if room is None or room.room_type != GROUP or room.membership(user_id) != "invite":
            return
        try:
            await self._memberships.join(gid, user_id)
        except HearthError as error:
            # They have the invitation, and can take it by hand.
            _log.info("cannot join a group that lets one in", group=gid, user=user_id, reason=str(error))
