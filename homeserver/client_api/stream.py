"""WebSocket sync: the handshake.

Spec: the draft `attic/drafts/websockets.rst` of the specification's repository.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from homeserver.errors import MatrixError
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Upgrade
from homeserver.rooms.tokens import parse_token
from homeserver.sync.request import STATE_AFTER, STATE_AFTER_UNSTABLE, SyncRequest
from homeserver.sync.socket import SocketServices, SocketSession
from homeserver.sync.websocket import Seat, WebSockets, check_upgrade

SUBPROTOCOL = "m.json"


class BadSubprotocol(MatrixError):
    errcode = "M_INVALID_PARAM"


class StreamQuery(
    msgspec.Struct, kw_only=True, rename={"unstable_state_after": "org.matrix.msc4222.use_state_after"}
):
    filter: str | None = None
    since: str | None = None
    full_state: bool = False
    set_presence: Literal["offline", "online", "unavailable"] | None = None
    presence: Literal["offline", "online", "unavailable"] = "online"
    use_state_after: bool = False
    unstable_state_after: bool = False


class StreamEndpoints:
    """Serves the handshake. What is wrong is said by an HTTP status before the 101."""

    def __init__(self, services: SocketServices) -> None:
        self._services = services
        self._sockets = WebSockets(SUBPROTOCOL)

    @endpoint(
        "GET",
        "/_matrix/client/v3/stream",
        rate_limit=RateLimit("stream"),
        guests=True,
        aliases=(
            "/_matrix/client/v1/stream",
            "/_matrix/client/unstable/stream",
            "/_matrix/client/ws/r0",
        ),
    )
    async def stream(self, who: Requester, query: StreamQuery, request: Request) -> Upgrade:
        """Follow over a WebSocket.

        Spec: https://spec.matrix.org/unstable/ (the WebSocket draft)
        """
        offered = check_upgrade(request)
        if offered and SUBPROTOCOL not in offered:
            raise BadSubprotocol(f"the only subprotocol is {SUBPROTOCOL}")
        with self._sockets.arriving(who.user_id):
            session = await self._session(who, query)
        return self._sockets.upgrade(Seat(who.user_id), session)

    async def _session(self, who: Requester, query: StreamQuery) -> SocketSession:
        clients = self._services.clients
        found = clients.find_filter(who.user_id, query.filter)
        state_key = STATE_AFTER if query.use_state_after else "state"
        if query.unstable_state_after and not query.use_state_after:
            state_key = STATE_AFTER_UNSTABLE
        wanted = SyncRequest(
            who.user_id,
            who.device_id,
            found if found is not None else await clients.load_filter(who.user_id, query.filter),
            since=None if query.since is None else parse_token(query.since),
            full_state=query.full_state,
            state_key=state_key,
            is_guest=who.is_guest,
        )
        presence = query.set_presence or query.presence
        clients.seen(wanted, presence)
        with clients.watch(who) as watch:
            first = await self._services.polls.poll(wanted, 0, watch=watch)
            watch.check()
        return SocketSession(self._services, who, wanted, first, set_presence=presence)
