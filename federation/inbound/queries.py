"""What other servers ask about our aliases, users, directory and spaces.

Spec: https://spec.matrix.org/v1.19/server-server-api/#querying-for-information
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import Forbidden, NotFound, Unauthorized, Unrecognized
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID, domain_of
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.directory import Directory
from homeserver.rooms.spaces import Spaces
from homeserver.users.profiles import Profiles
from homeserver.users.short_tokens import ShortTokens

_QUERIES = RateLimit("federation")


class DirectoryQuery(msgspec.Struct):
    room_alias: RoomAlias


class ProfileQuery(msgspec.Struct):
    user_id: UserID
    field: str | None = None


class PublicRoomsQuery(msgspec.Struct):
    limit: int | None = None
    since: str | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


class RoomsFilter(msgspec.Struct):
    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class PublicRoomsBody(msgspec.Struct):
    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter = msgspec.field(default_factory=RoomsFilter)
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


class HierarchyQuery(msgspec.Struct):
    suggested_only: bool = False


class UserInfoQuery(msgspec.Struct):
    access_token: str | None = None


class AliasTarget(msgspec.Struct):
    room_id: RoomID
    servers: list[ServerName]


class UserInfo(msgspec.Struct):
    sub: UserID


class DirectoryQueryEndpoints:
    """Serves aliases, published rooms and spaces."""

    def __init__(
        self, aliases: Aliases, directory: Directory, spaces: Spaces, *, publishes_rooms: bool
    ) -> None:
        self._aliases = aliases
        self._directory = directory
        self._spaces = spaces
        self._publishes_rooms = publishes_rooms

    @endpoint("GET", "/_matrix/federation/v1/query/directory", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def query_room_directory(self, query: DirectoryQuery) -> AliasTarget:
        """The room that an alias of ours stands for.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory
        """
        found = (
            await self._aliases.find(query.room_alias) if self._aliases.is_local(query.room_alias) else None
        )
        if found is None:
            raise NotFound(f"no alias {query.room_alias}")
        return AliasTarget(*found)

    @endpoint("GET", "/_matrix/federation/v1/publicRooms", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def get_public_rooms(self, query: PublicRoomsQuery) -> dict[str, Any]:
        """A page of our published rooms.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1publicrooms
        """
        self._check_publishes()
        return await self._directory.public_rooms(
            limit=query.limit,
            since=query.since,
            network=query.third_party_instance_id,
            all_networks=query.include_all_networks,
            federates=True,
        )

    @endpoint("POST", "/_matrix/federation/v1/publicRooms", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def query_public_rooms(self, body: PublicRoomsBody) -> dict[str, Any]:
        """A page of our published rooms that match a filter.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms
        """
        self._check_publishes()
        return await self._directory.public_rooms(
            limit=body.limit,
            since=body.since,
            term=body.filter.generic_search_term,
            room_types=body.filter.room_types,
            network=body.third_party_instance_id,
            all_networks=body.include_all_networks,
            federates=True,
        )

    @endpoint("GET", "/_matrix/federation/v1/hierarchy/{room_id}", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def get_space_hierarchy(
        self, origin: ServerName, room_id: RoomID, query: HierarchyQuery
    ) -> dict[str, Any]:
        """A room and its children.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
        """
        return await self._spaces.server_view(origin, room_id, suggested_only=query.suggested_only)

    def _check_publishes(self) -> None:
        if not self._publishes_rooms:
            raise Forbidden("this server shows its room directory to its own users only")


class UserQueryEndpoints:
    """Serves profiles, and who an OpenID token is of."""

    def __init__(
        self,
        profiles: Profiles,
        short_tokens: ShortTokens,
        *,
        server_name: ServerName,
        tells_profiles: bool,
    ) -> None:
        self._profiles = profiles
        self._short_tokens = short_tokens
        self._server_name = server_name
        self._tells_profiles = tells_profiles

    @endpoint("GET", "/_matrix/federation/v1/query/profile", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def query_profile(self, query: ProfileQuery) -> dict[str, Any]:
        """A user's profile, or one field of it.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile
        """
        if not self._tells_profiles:
            raise Forbidden("this server keeps profiles to itself")
        if domain_of(query.user_id) != self._server_name:
            raise NotFound(f"{query.user_id} is not a user of this server")
        profile = await self._profiles.load(query.user_id)
        if query.field is None:
            return profile
        return {query.field: profile[query.field]} if query.field in profile else {}

    @endpoint("GET", "/_matrix/federation/v1/query/{query_type}", auth=Auth.FEDERATION, rate_limit=_QUERIES)
    async def query_info(self, query_type: str) -> dict[str, Any]:
        """A query of a type that the specification does not name: there is none.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryquerytype
        """
        raise Unrecognized(f"no queries of type {query_type!r} are answered here")

    @endpoint("GET", "/_matrix/federation/v1/openid/userinfo", auth=Auth.NONE, rate_limit=_QUERIES)
    async def exchange_open_id_token(self, query: UserInfoQuery) -> UserInfo:
        """Whose OpenID token it is.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo
        """
        if query.access_token is None:
            raise Unauthorized("no access_token is given")
        return UserInfo(await self._short_tokens.openid_user(query.access_token))
