"""Requests that cross: two people who ask each other at the same time on two servers are friends in one room.

Both servers see two rooms. The one with the smaller ID stays: whoever made the other gives it up and joins. Either
server does so for its own user, so it makes no difference who hears of what first.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from homeserver.errors import HearthError
from homeserver.ids import ServerName, UserID, domain_of
from homeserver.im.contacts import Contacts
from homeserver.im.follower import Follower
from homeserver.im.friend_gate import is_over
from homeserver.im.friend_requests import RequestWriting
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import im_directs
from storage.database import Database
from storage.im_directs import FriendRequest

_log = structlog.get_logger(__name__)

CROSSED = "crossed"
"""The reason for which a request is given up."""


class CrossedRequests:
    """Gives up the requests of local users that others have crossed."""

    def __init__(
        self,
        db: Database,
        follower: Follower,
        writing: RequestWriting,
        contacts: Contacts,
        notifier: Notifier,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._follower = follower
        self._writing = writing
        self._contacts = contacts
        self._tasks = tasks
        self._server_name = server_name
        notifier.subscribe(self._heard)

    async def start(self) -> None:
        """Deal with what crossed before the server stopped."""
        await self._follower.settled()
        for user, other in await self._db.read(im_directs.crossed_pairs):
            await self._settle(user, other)

    def _heard(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is not LogKind.EVENT or not isinstance(entry.payload, TimelineEvent):
                continue
            event = entry.payload.event
            is_request = (
                event.type == "m.room.member"
                and event.content.get("membership") == "invite"
                and event.content.get("is_direct") is True
            )
            one, other = event.sender, UserID(event.state_key or "")
            if is_request and self._server_name in (domain_of(one), domain_of(other)):
                self._tasks.spawn(f"requests of {one} and {other}", self._settle(one, other))

    async def _settle(self, one: UserID, other: UserID) -> None:
        await self._follower.settled()
        pending = [
            request
            for request in await self._db.read(im_directs.pending_between, one, other)
            if not is_over(request, self._writing.now_ms())
        ]
        kept = _kept(pending)
        if kept is None:
            return
        for request in pending:
            if request.sender != kept.sender and domain_of(request.sender) == self._server_name:
                await self._give_up(request, kept)

    async def _give_up(self, request: FriendRequest, kept: FriendRequest) -> None:
        try:
            await self._writing.cancel(request, CROSSED)
            if not request.is_knock and not await self._db.read(im_directs.has_history, request.room_id):
                await self._writing.leave(request.room_id, request.sender, CROSSED)
            await self._writing.accept(kept)
            await self._contacts.note(request.sender, kept.sender, kept.room_id, source="accepted")
        except HearthError as error:
            # Both requests are still there, and can be answered by hand.
            _log.info("cannot settle crossed requests", room=request.room_id, reason=str(error))


def _kept(pending: Sequence[FriendRequest]) -> FriendRequest | None:
    """Of requests that cross, the one that stays; None if there is nothing to choose."""
    if len({request.sender for request in pending}) < 2:
        return None
    # A knock is on a room that has a history: it stays before any new room.
    return min(pending, key=lambda request: (not request.is_knock, request.room_id))
