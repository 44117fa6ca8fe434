"""A WebSocket over autobahn, as its session sees it.

Only who opens a socket imports this: autobahn brings WAMP and three serialisers along, 5 MB that a server of long-polls
need not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from homeserver.sync.session import MAX_FRAME_BYTES, Session

CLOSE_TOO_BIG = 1009


def make_protocol(session: Session, subprotocol: str, on_close: Callable[[], None]) -> SocketProtocol:
    """The protocol that a connection is handed over to; `on_close` is called once at its end."""
    factory = WebSocketServerFactory(protocols=[subprotocol])
    factory.setProtocolOptions(
        # Of messages this would limit our own as well, and an update is as large as what has happened.
        maxFramePayloadSize=MAX_FRAME_BYTES,
        # The session pings, on the clock that it was given; the handshake has been read already.
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        autoPingInterval=0,
        failByDrop=False,
        perMessageCompressionAccept=_accept_deflate,
    )
    protocol = SocketProtocol()
    protocol.factory = factory
    protocol.follow(session, subprotocol, on_close)
    return protocol


def _accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            # Contexts that are kept cost 300 KB a socket: compress each message by itself.
            return PerMessageDeflateOfferAccept(
                offer,
                request_no_context_takeover=True,
                no_context_takeover=True,
                mem_level=4,
                max_message_size=MAX_FRAME_BYTES,
            )
    return None


class SocketProtocol(WebSocketServerProtocol):
    """A socket as its session sees it."""

    def follow(self, session: Session, subprotocol: str, on_close: Callable[[], None]) -> None:
        self._session = session
        self._subprotocol = subprotocol
        self._on_close = on_close

    def onConnect(self, request: Any) -> str | None:
        return self._subprotocol if self._subprotocol in request.protocols else None

    def onOpen(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._session.opened(self)

    def onMessageFrameBegin(self, length: int) -> None:  # noqa: N802  # autobahn's
        super().onMessageFrameBegin(length)
        if self.message_data_total_length > MAX_FRAME_BYTES and not self.failedByMe:
            self.close(CLOSE_TOO_BIG, f"a message may have {MAX_FRAME_BYTES} bytes")
            self.failedByMe = True

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

    def pause_reading(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resume_reading(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    def close(self, code: int, reason: str) -> None:
        # sendClose would refuse the codes that the protocol keeps for servers.
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)

    def sendCloseFrame(  # noqa: N802  # autobahn's
        self,
        code: int | None = None,
        reasonUtf8: bytes | None = None,  # noqa: N803  # autobahn's
        isReply: bool = False,  # noqa: FBT001, FBT002, N803  # autobahn's
    ) -> None:
        super().sendCloseFrame(code, reasonUtf8, isReply)
        # Whether the session closes or the protocol does because a frame is broken: nothing follows.
        self._session.closing()

    def abort(self) -> None:
        self.dropConnection(abort=True)

    # The transport's producer: whoever does not read is not written to.

    def pauseProducing(self) -> None:
        self._session.stalled()

    def resumeProducing(self) -> None:
        self._session.writable()

    def stopProducing(self) -> None:
        self._session.closed()
