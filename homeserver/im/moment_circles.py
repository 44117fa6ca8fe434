"""Who reads whose moments, in step with friendship: friends are in one another's rooms, and leave them with it.

What should be follows from friendships and block lists; what is are memberships. Whenever one of them changes, by the
facade, by a stock client or on another server, and once more after a restart, the two are brought together. Each server
looks after the rooms of its own users, and tries again for a while when another one is away. Whoever has never used the
facade has no such rooms: their direct chats are all that they see.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from homeserver.errors import HearthError
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.arrivals import AGAIN_AFTER_S, Doors, Friendships
from homeserver.im.moment_shapes import MOMENTS
from homeserver.im.moments_rooms import MomentsRooms
from homeserver.im.settings import IGNORED, ignored_by
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.turns import Turns
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.tasks import Tasks
from storage import im_circles
from storage.database import Database
from storage.im_circles import Pair
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

_CHANGES = frozenset({"join", "leave", "ban"})
_SETTLED_ANEW = frozenset({(LogKind.ACCOUNT_DATA, IGNORED), (LogKind.ROOM_ACCOUNT_DATA, im_circles.CONTACT)})
"""What a user changes by which others come to read their moments, or no longer."""


class CircleRooms:
    """The rooms of moments, and who is in them."""

    def __init__(self, rooms: Rooms, own: MomentsRooms, memberships: Memberships, doors: Doors) -> None:
        self._rooms = rooms
        self._own = own
        self._memberships = memberships
        self._doors = doors

    def may_be_of_two(self, room_id: RoomID) -> bool:
        """Whether a room that is in memory may be one of two people; cheap."""
        room = self._rooms.find(room_id)
        return room is not None and room.room_type is None and len(room.joined) <= 2

    async def find(self, author: UserID) -> LiveRoom | None:
        room_id = await self._own.find(author, "friends")
        return None if room_id is None else await self._rooms.find_or_load(room_id)

    async def admit(self, author: UserID, reader: UserID, since_ms: int) -> None:
        """Bring a friend of a local author in, unless they have left by themselves since they are friends."""
        # Both are made now: at the first post, a thousand friends would have to be invited at once.
        await self._own.ensure(author, "public")
        room = await self._rooms.load(await self._own.ensure(author, "friends"))
        membership = room.membership(reader)
        if membership not in ("join", "invite"):
            event = room.find_state("m.room.member", reader)
            if event is not None and event.sender == reader and event.origin_server_ts > since_ms:
                return
            await self._memberships.invite(room.room_id, author, reader)
        if membership != "join" and domain_of(reader) == domain_of(author):
            await self._doors.enter_moments(room.room_id, reader, author)

    async def remove(self, author: UserID, reader: UserID) -> None:
        room = await self.find(author)
        if room is not None and room.membership(reader) in ("join", "invite"):
            await self._memberships.kick(room.room_id, author, reader)

    async def leave(self, author: UserID, reader: UserID) -> None:
        """Have a local reader leave the room of somebody on another server."""
        room = await self.find(author)
        if room is not None and room.membership(reader) in ("join", "invite"):
            await self._memberships.leave(room.room_id, reader)


class MomentCircles:
    """Brings readers into moments rooms, and takes them out again."""

    def __init__(
        self,
        db: Database,
        friendships: Friendships,
        rooms: CircleRooms,
        clock: Clock,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._friendships = friendships
        self._rooms = rooms
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._turns: Turns[Pair] = Turns()
        self._timers: dict[Pair, Timer] = {}
        self._is_stopped = False

    async def start(self) -> None:
        """Deal with what changed before the server stopped."""
        for pair in await self._db.read(_mismatches, None):
            self._plan(pair)

    def stop(self) -> None:
        self._is_stopped = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def heard(self, entries: Sequence[LogEntry]) -> None:
        """A listener of the notifier."""
        for entry in entries:
            if (entry.kind, entry.ref) in _SETTLED_ANEW and entry.user_id is not None:
                user = UserID(entry.user_id)
                self._tasks.spawn(f"moments of {user}", self._settle_all(user))
            elif entry.kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
                event = entry.payload.event
                if event.type == "m.room.create" and event.content.get("type") == MOMENTS:
                    self._tasks.spawn(f"moments of {event.sender}", self._settle_all(event.sender))
                elif (
                    event.type == "m.room.member"
                    and event.content.get("membership") in _CHANGES
                    and self._rooms.may_be_of_two(event.room_id)
                ):
                    self._tasks.spawn(f"moments after {event.event_id}", self._settle_room(event.room_id))

    async def _settle_room(self, room_id: RoomID) -> None:
        await self._friendships.settled()
        for one, other in await self._db.read(im_circles.pairs_of_room, room_id):
            self._plan((one, other))
            self._plan((other, one))

    async def _settle_all(self, author: UserID) -> None:
        await self._friendships.settled()
        for pair in await self._db.read(_mismatches, author):
            self._plan(pair)

    def _plan(self, pair: Pair, tries: int = 0) -> None:
        timer = self._timers.pop(pair, None)
        if timer is not None and timer.active():
            timer.cancel()
        if not self._is_stopped:
            self._tasks.spawn(f"moments of {pair[0]} for {pair[1]}", self._settle(pair, tries))

    async def _settle(self, pair: Pair, tries: int) -> None:
        """Bring in who should be, or take out who should not."""
        author, reader = pair
        async with self._turns.of(pair):
            try:
                friends = await self._friendships.are_friends(author, reader)
                if domain_of(author) == self._server_name:
                    if not friends or reader in await self._db.read(ignored_by, author):
                        await self._rooms.remove(author, reader)
                    elif await self._db.read(im_circles.takes_part, author):
                        since_ms = await self._db.read(im_circles.since_ms, author, reader)
                        await self._rooms.admit(author, reader, since_ms)
                elif not friends:
                    await self._rooms.leave(author, reader)
            except HearthError as error:
                _log.info("cannot settle who reads moments", author=author, reader=reader, reason=str(error))
                if tries < len(AGAIN_AFTER_S) and not self._is_stopped:
                    self._timers[pair] = self._clock.call_later(
                        AGAIN_AFTER_S[tries], lambda: self._plan(pair, tries + 1)
                    )


def _mismatches(txn: Transaction, author: UserID | None) -> list[Pair]:
    found = [*im_circles.missing(txn, author), *im_circles.strangers(txn, author)]
    if author is not None:
        # Whom the author blocks may be in; whom they block no longer are missing.
        found += [(author, reader) for reader in sorted(ignored_by(txn, author))]
    return list(dict.fromkeys(found))
