"""Spaces, and what rooms are like from outside.

Spec: https://spec.matrix.org/v1.19/client-server-api/#spaces
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import InvalidParam
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, ServerName, parse_user_id
from homeserver.rooms.directory import Directory
from homeserver.rooms.mutual import MutualRooms
from homeserver.rooms.spaces import Spaces
from homeserver.rooms.summaries import Summaries


class HierarchyQuery(msgspec.Struct, rename={"from_": "from"}):
    """How much of the tree is wanted."""

    suggested_only: bool = False
    limit: int | None = None
    max_depth: int | None = None
    from_: str | None = None


class SummaryQuery(msgspec.Struct):
    """Which servers may know the room."""

    via: list[ServerName] = []


class MutualRoomsQuery(msgspec.Struct, rename={"from_": "from"}):
    """With whom, and from where on."""

    user_id: str
    from_: str | None = None


class SpaceEndpoints:
    """Serves hierarchies, summaries and rooms in common."""

    def __init__(
        self, spaces: Spaces, summaries: Summaries, directory: Directory, mutual_rooms: MutualRooms
    ) -> None:
        self._spaces = spaces
        self._summaries = summaries
        self._directory = directory
        self._mutual_rooms = mutual_rooms

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/hierarchy",
        rate_limit=RateLimit("reading"),
        aliases=("/_matrix/client/unstable/org.matrix.msc2946/rooms/{room_id}/hierarchy",),
    )
    async def get_space_hierarchy(
        self, who: Requester, room_id: RoomID, query: HierarchyQuery
    ) -> dict[str, Any]:
        """The rooms below a space, as far as the user may see them.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
        """
        if query.limit is not None and query.limit < 1:
            raise InvalidParam("limit must be greater than zero")
        if query.max_depth is not None and query.max_depth < 0:
            raise InvalidParam("max_depth must not be negative")
        page = await self._spaces.page(
            who.user_id,
            room_id,
            suggested_only=query.suggested_only,
            limit=query.limit,
            max_depth=query.max_depth,
            token=query.from_,
        )
        answer: dict[str, Any] = {"rooms": page.rooms}
        if page.next_batch is not None:
            answer["next_batch"] = page.next_batch
        return answer

    @endpoint(
        "GET",
        "/_matrix/client/v1/room_summary/{room_id_or_alias}",
        auth=Auth.ACCESS_TOKEN_OPTIONAL,
        rate_limit=RateLimit("reading"),
        guests=True,
        aliases=(
            "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}",
            "/_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
        ),
    )
    async def get_room_summary(
        self, who: Requester | None, room_id_or_alias: str, query: SummaryQuery
    ) -> dict[str, Any]:
        """What a room is like.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
        """
        room_id, servers = await self._directory.resolve(room_id_or_alias, query.via)
        return await self._summaries.load(room_id, None if who is None else who.user_id, servers)

    @endpoint(
        "GET",
        "/_matrix/client/v1/mutual_rooms",
        rate_limit=RateLimit("reading"),
        aliases=("/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms",),
    )
    async def get_mutual_rooms(self, who: Requester, query: MutualRoomsQuery) -> dict[str, Any]:
        """The rooms that the user shares with another.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
        """
        page = await self._mutual_rooms.page(who.user_id, parse_user_id(query.user_id), query.from_)
        answer: dict[str, Any] = {"joined": page.rooms, "count": page.count}
        if page.next_batch is not None:
            answer["next_batch"] = page.next_batch
        return answer
