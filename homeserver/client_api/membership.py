"""Joining, leaving, inviting and the rest. Spec: https://spec.matrix.org/v1.19/client-server-api/#room-membership"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import MissingParam
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID, ServerName, UserID
from homeserver.rooms.directory import Directory
from homeserver.rooms.membership import Memberships
from homeserver.rooms.third_party_invites import Addressee, ThirdPartyInvites
from homeserver.sync.feeds import Feeds


class JoinQuery(msgspec.Struct):
    """`via` servers may know the room; `server_name` is its name before v1.12."""

    via: list[str] = []
    server_name: list[str] = []


class JoinBody(msgspec.Struct):
    reason: str | None = None
    third_party_signed: dict[str, Any] | None = None


class ReasonBody(msgspec.Struct):
    reason: str | None = None


class TargetBody(msgspec.Struct):
    user_id: UserID
    reason: str | None = None


class InviteBody(msgspec.Struct):
    """Either a user, or somebody known by a third-party identifier."""

    user_id: UserID | None = None
    reason: str | None = None
    id_server: str | None = None
    id_access_token: str | None = None
    medium: str | None = None
    address: str | None = None

    def addressee(self) -> Addressee:
        """
        Raises:
            MissingParam: nobody is named, neither by user ID nor by address.
        """
        given = (self.id_server, self.id_access_token, self.medium, self.address)
        if self.medium is None and self.address is None:
            raise MissingParam("user_id must be given")
        for name, value in zip(("id_server", "id_access_token", "medium", "address"), given, strict=True):
            if value is None:
                raise MissingParam(f"{name} must be given")
        id_server, token, medium, address = given
        return Addressee(id_server or "", token or "", medium or "", address or "")


class JoinedRoom(msgspec.Struct):
    room_id: RoomID


class JoinedRooms(msgspec.Struct):
    joined_rooms: list[RoomID]


class MembershipEndpoints:
    """Serves what changes memberships."""

    def __init__(
        self,
        memberships: Memberships,
        third_party: ThirdPartyInvites,
        directory: Directory,
        feeds: Feeds,
    ) -> None:
        self._memberships = memberships
        self._third_party = third_party
        self._directory = directory
        self._feeds = feeds

    @endpoint(
        "POST",
        "/_matrix/client/v3/join/{room_id_or_alias}",
        rate_limit=RateLimit("joins"),
        guests=True,
        suspended=False,
    )
    async def join_room(
        self, who: Requester, room_id_or_alias: str, query: JoinQuery, body: JoinBody
    ) -> JoinedRoom:
        """Join a room by its ID or an alias.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
        """
        room_id, servers = await self._directory.resolve(room_id_or_alias, _servers(query))
        return await self._join(who, room_id, servers, body)

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{room_id}/join",
        rate_limit=RateLimit("joins"),
        guests=True,
        suspended=False,
    )
    async def join_room_by_id(
        self, who: Requester, room_id: RoomID, query: JoinQuery, body: JoinBody
    ) -> JoinedRoom:
        """Join a room by its ID.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
        """
        return await self._join(who, room_id, _servers(query), body)

    async def _join(
        self, who: Requester, room_id: RoomID, servers: list[ServerName], body: JoinBody
    ) -> JoinedRoom:
        if body.third_party_signed is not None:
            await self._third_party.redeem(room_id, who.user_id, body.third_party_signed)
        joined = await self._memberships.join(
            room_id, who.user_id, servers=servers, reason=body.reason, is_guest=who.is_guest
        )
        return JoinedRoom(joined)

    @endpoint(
        "POST", "/_matrix/client/v3/knock/{room_id_or_alias}", rate_limit=RateLimit("joins"), suspended=False
    )
    async def knock_room(
        self, who: Requester, room_id_or_alias: str, query: JoinQuery, body: ReasonBody
    ) -> JoinedRoom:
        """Ask to be let into a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias
        """
        room_id, servers = await self._directory.resolve(room_id_or_alias, _servers(query))
        return JoinedRoom(
            await self._memberships.knock(room_id, who.user_id, servers=servers, reason=body.reason)
        )

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/leave", rate_limit=RateLimit("leaves"), guests=True)
    async def leave_room(self, who: Requester, room_id: RoomID, body: ReasonBody) -> Empty:
        """Leave a room, or reject an invitation to it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave
        """
        await self._memberships.leave(room_id, who.user_id, reason=body.reason)
        return Empty()

    @endpoint(
        "POST", "/_matrix/client/v3/rooms/{room_id}/forget", rate_limit=RateLimit("leaves"), guests=True
    )
    async def forget_room(self, who: Requester, room_id: RoomID, body: ReasonBody) -> Empty:
        """Never be shown a room again that one has left.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget
        """
        await self._memberships.forget(room_id, who.user_id)
        self._feeds.forget(who.user_id, room_id)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{room_id}/invite",
        rate_limit=RateLimit("invites"),
        guests=True,
        suspended=False,
    )
    async def invite_user(self, who: Requester, room_id: RoomID, body: InviteBody) -> Empty:
        """Invite a user, or somebody who is known by an e-mail address or telephone number.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite
        """
        if body.user_id is not None:
            await self._memberships.invite(room_id, who.user_id, body.user_id, reason=body.reason)
            return Empty()
        await self._third_party.invite(room_id, who.user_id, body.addressee(), reason=body.reason)
        return Empty()

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/kick")
    async def kick(self, who: Requester, room_id: RoomID, body: TargetBody) -> Empty:
        """Remove a user from a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidkick
        """
        await self._memberships.kick(room_id, who.user_id, body.user_id, reason=body.reason)
        return Empty()

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/ban")
    async def ban(self, who: Requester, room_id: RoomID, body: TargetBody) -> Empty:
        """Keep a user out of a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban
        """
        await self._memberships.ban(room_id, who.user_id, body.user_id, reason=body.reason)
        return Empty()

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/unban")
    async def unban(self, who: Requester, room_id: RoomID, body: TargetBody) -> Empty:
        """Let a user come back.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban
        """
        await self._memberships.unban(room_id, who.user_id, body.user_id, reason=body.reason)
        return Empty()

    @endpoint("GET", "/_matrix/client/v3/joined_rooms", guests=True)
    async def get_joined_rooms(self, who: Requester) -> JoinedRooms:
        """The rooms that the user is in.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms
        """
        feed = await self._feeds.open(who.user_id)
        return JoinedRooms(feed.joined_rooms())


def _servers(query: JoinQuery) -> list[ServerName]:
    return [ServerName(server) for server in (*query.via, *query.server_name)]
