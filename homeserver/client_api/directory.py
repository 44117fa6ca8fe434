"""Aliases and the room directory. Spec: https://spec.matrix.org/v1.19/client-server-api/#room-aliases"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import Forbidden, MissingToken, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomAlias, RoomID, ServerName
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.directory import Directory


class AliasBody(msgspec.Struct):
    room_id: RoomID


class AliasTarget(msgspec.Struct):
    room_id: RoomID
    servers: list[ServerName]


class AliasList(msgspec.Struct):
    aliases: list[RoomAlias]


class VisibilityBody(msgspec.Struct):
    visibility: Literal["public", "private"] = "public"


class Visibility(msgspec.Struct):
    visibility: Literal["public", "private"]


class PublicRoomsQuery(msgspec.Struct):
    limit: int | None = None
    since: str | None = None
    server: ServerName | None = None


class ServerQuery(msgspec.Struct):
    server: ServerName | None = None


class RoomsFilter(msgspec.Struct):
    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class PublicRoomsBody(msgspec.Struct):
    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter = msgspec.field(default_factory=RoomsFilter)
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


class DirectoryEndpoints:
    """Serves aliases and the list of published rooms."""

    def __init__(
        self,
        directory: Directory,
        aliases: Aliases,
        access: RoomAccess,
        *,
        public_without_token: bool,
        only_members_name: bool,
    ) -> None:
        self._directory = directory
        self._aliases = aliases
        self._access = access
        self._public_without_token = public_without_token
        self._only_members_name = only_members_name

    @endpoint("GET", "/_matrix/client/v3/directory/room/{room_alias}", auth=Auth.NONE)
    async def get_room_id_by_alias(self, room_alias: RoomAlias) -> AliasTarget:
        """The room that an alias stands for.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias
        """
        room_id, servers = await self._directory.find(room_alias)
        return AliasTarget(room_id, servers)

    @endpoint("PUT", "/_matrix/client/v3/directory/room/{room_alias}", suspended=False)
    async def set_room_alias(self, who: Requester, room_alias: RoomAlias, body: AliasBody) -> Empty:
        """Give a room an alias.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias
        """
        if self._only_members_name:
            await self._access.joined(body.room_id, who.user_id)
        await self._aliases.add(room_alias, body.room_id, who.user_id)
        return Empty()

    @endpoint("DELETE", "/_matrix/client/v3/directory/room/{room_alias}")
    async def delete_room_alias(self, who: Requester, room_alias: RoomAlias) -> Empty:
        """Take an alias away.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias
        """
        await self._aliases.remove(room_alias, who.user_id, is_admin=who.is_admin)
        return Empty()

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{room_id}/aliases",
        rate_limit=RateLimit("reading"),
        aliases=("/_matrix/client/unstable/org.matrix.msc2432/rooms/{room_id}/aliases",),
    )
    async def get_local_aliases(self, who: Requester, room_id: RoomID) -> AliasList:
        """The aliases that this server has for a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases
        """
        await self._access.sight(room_id, who.user_id)
        return AliasList(await self._aliases.list_of_room(room_id))

    @endpoint("GET", "/_matrix/client/v3/directory/list/room/{room_id}", auth=Auth.NONE)
    async def get_room_visibility_on_directory(self, room_id: RoomID) -> Visibility:
        """Whether the room is in the directory.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
        """
        if not await self._directory.is_known(room_id):
            raise NotFound(f"unknown room {room_id}")
        return Visibility("public" if await self._directory.is_published(room_id) else "private")

    @endpoint("PUT", "/_matrix/client/v3/directory/list/room/{room_id}", suspended=False)
    async def set_room_visibility_on_directory(
        self, who: Requester, room_id: RoomID, body: VisibilityBody
    ) -> Empty:
        """Put the room into the directory, or take it out.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid
        """
        if not await self._directory.is_known(room_id):
            raise NotFound(f"unknown room {room_id}")
        if not who.is_admin:
            room = await self._access.joined(room_id, who.user_id)
            levels = room.power_levels
            if levels.user(who.user_id) < levels.event("m.room.canonical_alias", is_state=True):
                raise Forbidden("you may not change whether the room is in the directory")
        published = body.visibility == "public"
        if published:
            await self._directory.check_may_publish(room_id, who.user_id, ())
        await self._directory.set_published(room_id, published=published)
        return Empty()

    @endpoint("GET", "/_matrix/client/v3/publicRooms", auth=Auth.ACCESS_TOKEN_OPTIONAL, guests=True)
    async def get_public_rooms(self, who: Requester | None, query: PublicRoomsQuery) -> dict[str, Any]:
        """The published rooms, of this server or another.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
        """
        if who is None and not self._public_without_token:
            raise MissingToken("this server shows its room directory to its users only")
        if query.server is not None and not self._directory.is_ours(query.server):
            return await self._directory.public_rooms_of(query.server, limit=query.limit, since=query.since)
        return await self._directory.public_rooms(limit=query.limit, since=query.since)

    @endpoint("POST", "/_matrix/client/v3/publicRooms", guests=True)
    async def query_public_rooms(
        self, who: Requester, query: ServerQuery, body: PublicRoomsBody
    ) -> dict[str, Any]:
        """The published rooms that match a filter.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
        """
        wanted = body.filter
        if query.server is not None and not self._directory.is_ours(query.server):
            return await self._directory.public_rooms_of(
                query.server,
                limit=body.limit,
                since=body.since,
                term=wanted.generic_search_term,
                room_types=wanted.room_types,
                network=body.third_party_instance_id,
                all_networks=body.include_all_networks,
            )
        return await self._directory.public_rooms(
            limit=body.limit,
            since=body.since,
            term=wanted.generic_search_term,
            room_types=wanted.room_types,
            network=body.third_party_instance_id,
            all_networks=body.include_all_networks,
        )
