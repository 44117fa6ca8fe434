"""Tags on rooms.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-tagging
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID, UserID
from homeserver.users.account_data import Tags

_TAGS = "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags"


class TagEndpoints:
    """Reading and changing one's tags."""

    def __init__(self, tags: Tags) -> None:
        self._tags = tags

    @endpoint("GET", _TAGS)
    async def get_room_tags(self, who: Requester, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """The tags of a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidtags
        """
        _check_own(who, user_id)
        return {"tags": await self._tags.load(user_id, room_id)}

    @endpoint("PUT", _TAGS + "/{tag}")
    async def set_room_tag(
        self, who: Requester, user_id: UserID, room_id: RoomID, tag: str, body: dict[str, Any]
    ) -> Empty:
        """Give a room a tag.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag
        """
        _check_own(who, user_id)
        await self._tags.set(user_id, room_id, tag, body)
        return Empty()

    @endpoint("DELETE", _TAGS + "/{tag}")
    async def delete_room_tag(self, who: Requester, user_id: UserID, room_id: RoomID, tag: str) -> Empty:
        """Take a tag from a room.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#delete_matrixclientv3useruseridroomsroomidtagstag
        """
        _check_own(who, user_id)
        await self._tags.delete(user_id, room_id, tag)
        return Empty()


def _check_own(who: Requester, user_id: UserID) -> None:
    if who.user_id != user_id:
        raise Forbidden("you only have tags of your own")
