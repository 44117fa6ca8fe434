"""What identity servers tell: whose an address is now, and what its owner was invited to.

Spec: https://spec.matrix.org/v1.19/server-server-api/#third-party-invites
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from homeserver.errors import HearthError, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import Empty
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.rooms.invite_exchange import InviteExchange
from homeserver.users.profiles import Profiles

_log = structlog.get_logger(__name__)

MAX_INVITES = 20
"""Invitations that one message may bring: each may cost us a request."""


class PendingInvite(msgspec.Struct):
    """An invitation to an address, and the identity server's word for whom it is."""

    room_id: RoomID
    sender: UserID
    signed: dict[str, Any]


class BindingBody(msgspec.Struct):
    """Whose an address is now."""

    medium: str
    address: str
    mxid: UserID
    invites: list[PendingInvite]


class BindingEndpoints:
    """Hears of addresses that were bound. Nobody has to be believed: a room knows by which keys it is redeemed."""

    def __init__(self, exchange: InviteExchange, profiles: Profiles, *, server_name: ServerName) -> None:
        self._exchange = exchange
        self._profiles = profiles
        self._server_name = server_name

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/3pid/onbind",
        auth=Auth.NONE,
        rate_limit=RateLimit("federation", by_address=True),
    )
    async def on_bind_third_party_identifier(self, body: BindingBody) -> Empty:
        """An address has been bound to a user of ours; one invitation that is none spoils no other.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv13pidonbind
        """
        if domain_of(body.mxid) != self._server_name:
            raise NotFound(f"{body.mxid} is not a user of this server")
        await self._profiles.load(body.mxid)
        for invite in body.invites[:MAX_INVITES]:
            try:
                await self._exchange.claim(invite.room_id, invite.sender, body.mxid, invite.signed)
            except HearthError as error:
                _log.info("an invitation is not redeemed", user=body.mxid, reason=str(error))
        return Empty()
