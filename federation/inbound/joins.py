"""Joining, knocking on and leaving rooms of this server, by users of others.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import Empty, RawJson
from homeserver.ids import EventID, RoomID, ServerName, UserID
from homeserver.rooms.hosting import Hosting, LetIn

_JOINING = RateLimit("federation")


class VersionsQuery(msgspec.Struct):
    """The room versions that the asking server knows; version 1 if it does not say."""

    ver: list[str] = msgspec.field(default_factory=lambda: ["1"])


class SendJoinQuery(msgspec.Struct):
    omit_members: bool = False


class KnockState(msgspec.Struct):
    knock_room_state: list[dict[str, Any]]


class HandshakeEndpoints:
    """Serves templates, and takes the events that are made of them."""

    def __init__(self, hosting: Hosting, *, server_name: ServerName) -> None:
        self._hosting = hosting
        self._server_name = server_name

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_join/{room_id}/{user_id}",
        auth=Auth.FEDERATION,
        rate_limit=_JOINING,
    )
    async def make_join(
        self, origin: ServerName, room_id: RoomID, user_id: UserID, query: VersionsQuery
    ) -> dict[str, Any]:
        """A template for a join.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid
        """
        version, event = await self._hosting.make(origin, room_id, user_id, "join", query.ver)
        return {"room_version": version, "event": event}

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/send_join/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=_JOINING,
    )
    async def send_join_v2(
        self,
        origin: ServerName,
        room_id: RoomID,
        event_id: EventID,
        body: dict[str, Any],
        query: SendJoinQuery,
    ) -> RawJson:
        """Take a join; the answer is the state of the room before it.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
        """
        let_in = await self._hosting.take_join(
            origin, room_id, event_id, body, omit_members=query.omit_members
        )
        return RawJson(self._encode(let_in))

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_join/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=_JOINING,
    )
    async def send_join_v1(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: dict[str, Any]
    ) -> RawJson:
        """The same for servers before r0.1.4, whose answer is a pair.

        Spec: https://spec.matrix.org/v1.17/server-server-api/#put_matrixfederationv1send_joinroomideventid
        """
        let_in = await self._hosting.take_join(origin, room_id, event_id, body, omit_members=False)
        return RawJson(b"[200,%b]" % self._encode(let_in))

    def _encode(self, let_in: LetIn) -> bytes:
        """The answer, from events that are JSON already."""
        rest: dict[str, Any] = {"origin": self._server_name}
        if let_in.servers is not None:
            rest |= {"members_omitted": True, "servers_in_room": let_in.servers}
        return b'{"event":%b,"state":[%b],"auth_chain":[%b],%b' % (
            let_in.event.json,
            b",".join(let_in.state.state),
            b",".join(let_in.state.auth_chain),
            msgspec.json.encode(rest)[1:],
        )

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_knock/{room_id}/{user_id}",
        auth=Auth.FEDERATION,
        rate_limit=_JOINING,
    )
    async def make_knock(
        self, origin: ServerName, room_id: RoomID, user_id: UserID, query: VersionsQuery
    ) -> dict[str, Any]:
        """A template for a knock.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid
        """
        version, event = await self._hosting.make(origin, room_id, user_id, "knock", query.ver)
        return {"room_version": version, "event": event}

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_knock/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=_JOINING,
    )
    async def send_knock(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: dict[str, Any]
    ) -> KnockState:
        """Take a knock.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid
        """
        return KnockState(await self._hosting.take_knock(origin, room_id, event_id, body))

    @endpoint("GET", "/_matrix/federation/v1/make_leave/{room_id}/{user_id}", auth=Auth.FEDERATION)
    async def make_leave(self, origin: ServerName, room_id: RoomID, user_id: UserID) -> dict[str, Any]:
        """A template for leaving, declining or taking back a knock.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid
        """
        version, event = await self._hosting.make(origin, room_id, user_id, "leave", None)
        return {"room_version": version, "event": event}

    @endpoint("PUT", "/_matrix/federation/v2/send_leave/{room_id}/{event_id}", auth=Auth.FEDERATION)
    async def send_leave_v2(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: dict[str, Any]
    ) -> Empty:
        """Take a leave event.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid
        """
        await self._hosting.take_leave(origin, room_id, event_id, body)
        return Empty()

    @endpoint("PUT", "/_matrix/federation/v1/send_leave/{room_id}/{event_id}", auth=Auth.FEDERATION)
    async def send_leave_v1(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: dict[str, Any]
    ) -> list[Any]:
        """The same for servers before r0.1.4, whose answer is a pair.

        Spec: https://spec.matrix.org/v1.17/server-server-api/#put_matrixfederationv1send_leaveroomideventid
        """
        await self._hosting.take_leave(origin, room_id, event_id, body)
        return [200, {}]
