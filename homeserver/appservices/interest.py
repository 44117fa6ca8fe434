"""What an application service hears of: its own users and rooms, and whatever happens where its users are.

Spec: https://spec.matrix.org/v1.19/application-service-api/#registration
"""

from __future__ import annotations

from collections import OrderedDict

from homeserver.appservices.registration import Appservice
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent

ROOMS_REMEMBERED = 10_000


class Interest:
    """Decides for one service."""

    def __init__(self, service: Appservice, rooms: Rooms) -> None:
        self._service = service
        self._rooms = rooms
        self._known: OrderedDict[RoomID, tuple[int, bool]] = OrderedDict()

    def in_user(self, user_id: str | None) -> bool:
        return user_id is not None and self._service.owns(UserID(user_id))

    def in_event(self, entry: TimelineEvent, room: LiveRoom | None) -> bool:
        """Whether the service hears of an event, as its room is now."""
        event = entry.event
        if self.in_user(event.sender):
            return True
        if event.type == "m.room.member" and self.in_user(event.state_key):
            return True
        if room is None:
            return self._service.is_interested_in_room(event.room_id)
        return self.in_room(room)

    def in_room(self, room: LiveRoom) -> bool:
        """Whether the service hears of everything in the room; asked again only when its state has changed."""
        known = self._known.get(room.room_id)
        if known is not None and known[0] == room.state_position:
            return known[1]
        interested = (
            self._service.is_interested_in_room(room.room_id)
            or any(self._service.owns(user) for user in room.joined)
            or any(self._service.is_interested_in_alias(alias) for alias in _aliases(room))
        )
        self._known[room.room_id] = (room.state_position, interested)
        while len(self._known) > ROOMS_REMEMBERED:
            self._known.popitem(last=False)
        return interested

    async def in_room_of(self, room_id: str) -> LiveRoom | None:
        """The room, if the service hears of it."""
        room = await self._rooms.find_or_load(RoomID(room_id))
        return room if room is not None and self.in_room(room) else None

    def shares_room(self, user_id: UserID) -> bool:
        """Whether the user is in a room that the service hears of, as far as those are known by now."""
        for room_id, (_, interested) in self._known.items():
            room = self._rooms.find(room_id) if interested else None
            if room is not None and room.is_joined(user_id):
                return True
        return False


def _aliases(room: LiveRoom) -> list[str]:
    """The aliases by which a room calls itself."""
    content = room.content("m.room.canonical_alias")
    others = content.get("alt_aliases")
    found = [content.get("alias"), *(others if isinstance(others, list) else [])]
    return [alias for alias in found if isinstance(alias, str)]
