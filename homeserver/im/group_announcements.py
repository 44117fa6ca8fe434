"""A group's announcement: a message to everybody that stays pinned above the others."""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import EventID, RoomID, UserID
from homeserver.im.errors import Encrypted
from homeserver.im.group_shapes import ADMIN, ANNOUNCEMENT
from homeserver.im.groups import Groups
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.sending import Sending

PINNED = "m.room.pinned_events"


class GroupAnnouncements:
    """Puts up the announcement of a group, and takes it down."""

    def __init__(self, groups: Groups, sending: Sending, access: RoomAccess) -> None:
        self._groups = groups
        self._sending = sending
        self._access = access

    async def load(self, gid: RoomID, viewer: UserID) -> dict[str, Any]:
        """
        Raises:
            NotFound: the group has none.
        """
        room = await self._groups.load_joined(gid, viewer)
        for event_id in pinned(room):
            try:
                _, entry = await self._access.event(gid, EventID(event_id), viewer)
            except NotFound:
                continue
            event = entry.event
            if event.content.get(ANNOUNCEMENT) is True:
                return {
                    "event_id": event_id,
                    "text": event.content.get("body", ""),
                    "by": event.sender,
                    "ts": event.origin_server_ts,
                }
        raise NotFound("this group has no announcement")

    async def put(self, gid: RoomID, admin: UserID, text: str) -> EventID:
        """Announce something: everybody is told, and it replaces the last announcement.

        Raises:
            Forbidden: the user is no admin.
            Encrypted: the group is not for messages in the clear.
        """
        room = await self._admin(gid, admin)
        if not text.strip() or len(text) > 4000:
            raise InvalidParam("an announcement has 1 to 4000 characters")
        if room.is_encrypted:
            raise Encrypted("this group is encrypted: only its members' clients can write to it")
        old = await self._announced(room, admin)
        content = {"msgtype": "m.text", "body": text, ANNOUNCEMENT: True, "m.mentions": {"room": True}}
        event_id = await self._sending.message(gid, admin, "m.room.message", content)
        kept = [one for one in pinned(room) if one not in old and one != event_id]
        await self._sending.state(gid, admin, PINNED, "", {"pinned": [event_id, *kept]})
        return event_id

    async def remove(self, gid: RoomID, admin: UserID) -> None:
        """Take it down; the message itself stays where it was said."""
        room = await self._admin(gid, admin)
        old = await self._announced(room, admin)
        if old:
            kept = [one for one in pinned(room) if one not in old]
            await self._sending.state(gid, admin, PINNED, "", {"pinned": kept})

    async def _admin(self, gid: RoomID, user_id: UserID) -> LiveRoom:
        room = await self._groups.load_joined(gid, user_id)
        if room.power_levels.user(user_id) < ADMIN:
            raise Forbidden("only the owner and admins announce something")
        return room

    async def _announced(self, room: LiveRoom, viewer: UserID) -> set[str]:
        """The pinned events that are announcements."""
        found = set()
        for event_id in pinned(room):
            try:
                _, entry = await self._access.event(room.room_id, EventID(event_id), viewer)
            except NotFound:
                continue
            if entry.event.content.get(ANNOUNCEMENT) is True:
                found.add(event_id)
        return found


def pinned(room: LiveRoom) -> list[str]:
    value = room.content(PINNED).get("pinned")
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
