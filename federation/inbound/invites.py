"""Invitations of our users into rooms of other servers.

Spec: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import Empty, RawJson
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.invitations import Invitations
from homeserver.rooms.invite_exchange import InviteExchange

MAX_INVITE_BYTES = 2 * 1024 * 1024
"""An event, and those that show the room."""


class InviteBody(msgspec.Struct):
    event: dict[str, Any]
    room_version: str
    invite_room_state: list[Any] = []


class InviteEndpoints:
    """Takes invitations."""

    def __init__(self, invitations: Invitations, exchange: InviteExchange) -> None:
        self._invitations = invitations
        self._exchange = exchange

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/invite/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=RateLimit("federation"),
        max_body=MAX_INVITE_BYTES,
    )
    async def send_invite_v2(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: InviteBody
    ) -> RawJson:
        """Take an invitation; the answer is the event with our signature.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
        """
        event = await self._invitations.take(
            origin,
            room_id,
            event_id,
            body.event,
            version_id=body.room_version,
            shown_state=body.invite_room_state,
        )
        return RawJson(b'{"event":%b}' % event.json)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/invite/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=RateLimit("federation"),
        max_body=MAX_INVITE_BYTES,
    )
    async def send_invite_v1(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, body: dict[str, Any]
    ) -> RawJson:
        """The same into rooms of versions 1 and 2, which this form of it does not tell apart.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1inviteroomideventid
        """
        unsigned = body.get("unsigned")
        shown = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        event = await self._invitations.take(
            origin,
            room_id,
            event_id,
            body,
            version_id="1",
            shown_state=shown if isinstance(shown, list) else [],
        )
        return RawJson(b'[200,{"event":%b}]' % event.json)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/exchange_third_party_invite/{room_id}",
        auth=Auth.FEDERATION,
        rate_limit=RateLimit("federation"),
    )
    async def exchange_third_party_invite(
        self, origin: ServerName, room_id: RoomID, body: dict[str, Any]
    ) -> Empty:
        """Invite a user of the other server, who has a signature by a key that the room shows.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid
        """
        await self._exchange.exchange(origin, room_id, body)
        return Empty()
