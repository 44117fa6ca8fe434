"""Who reads whose moments, in step with friendship: friends are in one another's rooms, and leave them with it.

It follows the log, so it makes no difference how a friendship began or ended: by the facade, by a stock client or on
another server. Each server looks after the rooms of its own users.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from homeserver.errors import HearthError, NotFound
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.arrivals import Doors, Friendships
from homeserver.im.moments_rooms import MomentsRooms
from homeserver.rooms.directory import Directory
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.tasks import Tasks

_log = structlog.get_logger(__name__)


class MomentCircles:
    """Brings readers into moments rooms, and takes them out again."""

    def __init__(
        self,
        rooms: Rooms,
        moments_rooms: MomentsRooms,
        memberships: Memberships,
        friendships: Friendships,
        doors: Doors,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._rooms = rooms
        self._moments_rooms = moments_rooms
        self._memberships = memberships
        self._friendships = friendships
        self._doors = doors
        self._tasks = tasks
        self._server_name = server_name

    def heard(self, entries: Sequence[LogEntry]) -> None:
        """A listener of the notifier."""
        for entry in entries:
            payload = entry.payload
            if (
                entry.kind is LogKind.EVENT
                and isinstance(payload, TimelineEvent)
                and payload.event.type == "m.room.member"
            ):
                self._consider(payload)

    def _consider(self, entry: TimelineEvent) -> None:
        event = entry.event
        room = self._rooms.find(event.room_id)
        if room is None or event.state_key is None:
            return
        user, membership = UserID(event.state_key), event.content.get("membership")
        other = peer_of(room, user)
        if other is None or not (self._is_local(user) or self._is_local(other)):
            return
        before = "leave" if entry.replaced is None else entry.replaced.content.get("membership")
        if membership == "join" and before != "join" and room.is_joined(other) and is_direct(entry, room):
            self._tasks.spawn(f"moments of {user} and {other}", self._befriend(user, other))
        elif membership in ("leave", "ban") and before == "join":
            self._tasks.spawn(f"moments of {user} without {other}", self._part(user, other))

    def _is_local(self, user: UserID) -> bool:
        return domain_of(user) == self._server_name

    async def _befriend(self, one: UserID, other: UserID) -> None:
        for author, reader in ((one, other), (other, one)):
            if self._is_local(author):
                # Both are made now: at the first post, a thousand friends would have to be invited at once.
                await self._moments_rooms.ensure(author, "public")
                await self._admit(await self._moments_rooms.ensure(author, "friends"), author, reader)

    async def _admit(self, room_id: RoomID, author: UserID, reader: UserID) -> None:
        room = await self._rooms.find_or_load(room_id)
        if room is None or room.is_joined(reader):
            return
        try:
            await self._memberships.invite(room_id, author, reader)
            if self._is_local(reader):
                await self._doors.enter_moments(room_id, reader, author)
        except HearthError as error:
            _log.info("cannot show moments", author=author, reader=reader, reason=str(error))

    async def _part(self, one: UserID, other: UserID) -> None:
        if await self._friendships.are_friends(one, other):
            return
        for author, reader in ((one, other), (other, one)):
            room_id = await self._moments_rooms.find(author, "friends")
            room = None if room_id is None else await self._rooms.find_or_load(room_id)
            if room is None or room.membership(reader) not in ("join", "invite"):
                continue
            try:
                if self._is_local(author):
                    await self._memberships.kick(room.room_id, author, reader)
                elif self._is_local(reader):
                    await self._memberships.leave(room.room_id, reader)
            except HearthError as error:
                _log.info("cannot hide moments", author=author, reader=reader, reason=str(error))


class Follows:
    """Reading what somebody posts for everybody."""

    def __init__(self, rooms: MomentsRooms, directory: Directory, memberships: Memberships) -> None:
        self._rooms = rooms
        self._directory = directory
        self._memberships = memberships

    async def follow(self, user_id: UserID, author: UserID) -> RoomID:
        """
        Raises:
            NotFound: nobody of this name posts for everybody.
        """
        room_id, servers = await self._find(author)
        await self._memberships.join(room_id, user_id, servers=servers)
        return room_id

    async def unfollow(self, user_id: UserID, author: UserID) -> None:
        room_id = await self._rooms.find(author, "public")
        if room_id is None or user_id == author:
            raise NotFound(f"you do not follow {author}")
        await self._memberships.leave(room_id, user_id)

    async def _find(self, author: UserID) -> tuple[RoomID, list[ServerName]]:
        known = await self._rooms.find(author, "public")
        if known is not None:
            return known, [domain_of(author)]
        return await self._directory.find(self._rooms.public_alias(author, domain_of(author)))


def peer_of(room: LiveRoom, user_id: UserID) -> UserID | None:
    """The other one of a room of two."""
    if room.room_type is not None:
        return None
    people = {key for (kind, key) in room.state if kind == "m.room.member"} - {user_id}
    return UserID(people.pop()) if len(people) == 1 else None


def is_direct(entry: TimelineEvent, room: LiveRoom) -> bool:
    """Whether who joins here was invited to a conversation between two, or comes back to one by a knock."""
    if entry.replaced is not None and entry.replaced.content.get("is_direct") is True:
        return True
    return room.join_rule == "knock"
