"""WebSocket sync: the handshake, and the protocol between the socket and its session.

Spec: the draft `attic/drafts/websockets.rst` of the specification's repository.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from homeserver.errors import LimitExceeded, MatrixError
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Upgrade
from homeserver.ids import UserID
from homeserver.rooms.tokens import parse_token
from homeserver.sync.request import STATE_AFTER, STATE_AFTER_UNSTABLE, SyncRequest
from homeserver.sync.socket import SocketServices, SocketSession

MAX_FRAME_BYTES = 128 * 1024
SOCKETS_PER_USER = 32
SUBPROTOCOL = "m.json"


class UpgradeRequired(MatrixError):
    status = 426
    errcode = "M_UNKNOWN"


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
        self._open: Counter[UserID] = Counter()

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
        if (request.header("upgrade") or "").lower() != "websocket":
            raise UpgradeRequired("this is a WebSocket: ask with Upgrade: websocket")
        offered = [each.strip() for each in (request.header("sec-websocket-protocol") or "").split(",")]
        if offered != [""] and SUBPROTOCOL not in offered:
            raise BadSubprotocol(f"the only subprotocol is {SUBPROTOCOL}")
        if self._open[who.user_id] >= SOCKETS_PER_USER:
            raise LimitExceeded(f"{SOCKETS_PER_USER} sockets are open already", retry_after_ms=10_000)
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
        first = await self._services.polls.poll(wanted, 0)
        session = SocketSession(self._services, who, wanted, first, set_presence=presence)
        return Upgrade(lambda: self._protocol(who.user_id, session))

    def _protocol(self, user_id: UserID, session: SocketSession) -> StreamProtocol:
        self._open[user_id] += 1
        factory = WebSocketServerFactory(protocols=[SUBPROTOCOL])
        factory.setProtocolOptions(
            maxFramePayloadSize=MAX_FRAME_BYTES,
            maxMessagePayloadSize=MAX_FRAME_BYTES,
            # The session pings, on the clock that it was given; the handshake has been read already.
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            failByDrop=False,
            perMessageCompressionAccept=_accept_deflate,
        )
        protocol = StreamProtocol()
        protocol.factory = factory
        protocol.follow(session, lambda: self._closed(user_id))
        return protocol

    def _closed(self, user_id: UserID) -> None:
        self._open[user_id] -= 1
        if self._open[user_id] <= 0:
            del self._open[user_id]


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            # Contexts that are kept cost 300 KB a socket: compress each message by itself.
            return PerMessageDeflateOfferAccept(
                offer, request_no_context_takeover=True, no_context_takeover=True, mem_level=4
            )
    return None


class StreamProtocol(WebSocketServerProtocol):
    """A socket as its session sees it."""

    def follow(self, session: SocketSession, on_close: Any) -> None:
        self._session = session
        self._on_close = on_close

    def onConnect(self, request: Any) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._session.opened(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: FBT001, N803  # autobahn's signature
        if not isBinary:
            self._session.received(payload)

    def onPong(self, payload: bytes) -> None:
        self._session.ponged(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: FBT001, N803  # autobahn's
        self._session.closed()
        self._on_close()

    def dropConnection(self, abort: bool = False) -> None:  # noqa: FBT001, FBT002, N802  # autobahn's
        transport: Any = self.transport
        # A transport with a producer waits for it before it closes.
        transport.unregisterProducer()
        super().dropConnection(abort)

    # The session's line.

    def send_text(self, data: bytes) -> None:
        self.sendMessage(data, isBinary=False)  # type: ignore[no-untyped-call]  # autobahn is not typed here

    def send_ping(self, payload: bytes) -> None:
        self.sendPing(payload)

    def close(self, code: int, reason: str) -> None:
        # sendClose would refuse the codes that the protocol keeps for servers.
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)

    def abort(self) -> None:
        self.dropConnection(abort=True)

    # The transport's producer: whoever does not read is not written to.

    def pauseProducing(self) -> None:
        self._session.stalled()

    def resumeProducing(self) -> None:
        self._session.writable()

    def stopProducing(self) -> None:
        self._session.closed()
