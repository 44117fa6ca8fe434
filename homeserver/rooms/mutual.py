"""Rooms that two users have in common.

Spec: https://spec.matrix.org/v1.19/client-server-api/#mutual-rooms
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.errors import InvalidParam
from homeserver.ids import RoomID, UserID
from storage import membership as membership_rows
from storage.database import Database

PAGE = 100


@dataclass(slots=True)
class MutualPage:
    """Some of the rooms, how many there are, and the token that goes on."""

    rooms: list[RoomID]
    count: int
    next_batch: str | None


class MutualRooms:
    """Finds rooms in common."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, user_id: UserID, other: UserID, token: str | None) -> MutualPage:
        """
        Raises:
            InvalidParam: both are the same user, or the token is none.
        """
        if user_id == other:
            raise InvalidParam("user_id: you share every room with yourself")
        rooms = sorted(await self._db.read(membership_rows.rooms_shared, user_id, other))
        first = 0
        if token is not None:
            if not token.isdecimal() or not 0 < int(token) <= len(rooms):
                raise InvalidParam("from: this is not a token of this server")
            first = int(token)
        last = first + PAGE
        return MutualPage(rooms[first:last], len(rooms), str(last) if last < len(rooms) else None)
