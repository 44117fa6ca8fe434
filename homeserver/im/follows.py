"""Reading what somebody posts for everybody."""

from __future__ import annotations

from homeserver.errors import NotFound
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.arrivals import Pasts
from homeserver.im.moments_rooms import MomentsRooms
from homeserver.rooms.directory import Directory
from homeserver.rooms.membership import Memberships


class Follows:
    """Joins the public rooms of authors, and leaves them."""

    def __init__(
        self, rooms: MomentsRooms, directory: Directory, memberships: Memberships, pasts: Pasts
    ) -> None:
        self._pasts = pasts
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
        await self._pasts.fetch(room_id)
        return room_id

    async def unfollow(self, user_id: UserID, author: UserID) -> None:
        """
        Raises:
            NotFound: they do not follow.
        """
        room_id = await self._rooms.find(author, "public")
        if room_id is None or user_id == author:
            raise NotFound(f"you do not follow {author}")
        await self._memberships.leave(room_id, user_id)

    async def _find(self, author: UserID) -> tuple[RoomID, list[ServerName]]:
        known = await self._rooms.find(author, "public")
        if known is not None:
            return known, [domain_of(author)]
        return await self._directory.find(self._rooms.public_alias(author, domain_of(author)))
