"""WebSockets as sessions see them: the protocol below, the bounds on how many a user has open, and compression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from homeserver.errors import LimitExceeded, MatrixError
from homeserver.http.request import Request
from homeserver.http.responses import Upgrade
from homeserver.sync.socket import Line

MAX_FRAME_BYTES = 128 * 1024
SOCKETS_PER_USER = 32
CLOSE_TOO_BIG = 1009


class UpgradeRequired(MatrixError):
    status = 426
    errcode = "M_UNKNOWN"


class Session(Protocol):
    """Whoever speaks over a socket."""

    def opened(self, line: Line) -> None: ...

    def closing(self) -> None:
        """A close has been sent, by the session or because the client has broken the protocol."""
        ...

    def closed(self) -> None: ...

    def stalled(self) -> None: ...

    def writable(self) -> None: ...

    def ponged(self, payload: bytes) -> None: ...

    def received(self, data: bytes) -> None: ...


def check_upgrade(request: Request) -> list[str]:
    """The subprotocols that a handshake offers.

    Raises:
        UpgradeRequired: it is none.
    """
    if (request.header("upgrade") or "").lower() != "websocket":
        raise UpgradeRequired("this is a WebSocket: ask with Upgrade: websocket")
    offered = request.header("sec-websocket-protocol") or ""
    return [each for part in offered.split(",") if (each := part.strip())]


@dataclass(slots=True)
class Seat:
    """Whom a socket counts for: a user, or an address before anybody has logged in."""

    owner: str


class WebSockets:
    """Opens sockets, so many for each owner."""

    def __init__(self, subprotocol: str) -> None:
        self._subprotocol = subprotocol
        self._open: Counter[str] = Counter()

    def check_seat(self, owner: str, *, most: int = SOCKETS_PER_USER) -> None:
        """
        Raises:
            LimitExceeded: the owner has too many open.
        """
        if self._open[owner] >= most:
            raise LimitExceeded(f"{most} sockets are open already", retry_after_ms=10_000)

    @contextmanager
    def arriving(self, owner: str, *, most: int = SOCKETS_PER_USER) -> Iterator[None]:
        """While a socket is about to open it counts as well: a thousand at once shall not pass.

        Raises:
            LimitExceeded: the owner has too many open.
        """
        self.check_seat(owner, most=most)
        seat = Seat(owner)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._left(seat)

    def move(self, seat: Seat, owner: str) -> None:
        """The socket has turned out to be somebody's.

        Raises:
            LimitExceeded: they have too many open.
        """
        self.check_seat(owner)
        self._left(seat)
        seat.owner = owner
        self._open[owner] += 1

    def upgrade(self, seat: Seat, session: Session) -> Upgrade:
        """Hand a connection to its session."""
        return Upgrade(lambda: self._protocol(seat, session))

    def _protocol(self, seat: Seat, session: Session) -> SocketProtocol:
        self._open[seat.owner] += 1
        factory = WebSocketServerFactory(protocols=[self._subprotocol])
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
        protocol.follow(session, self._subprotocol, lambda: self._left(seat))
        return protocol

    def _left(self, seat: Seat) -> None:
        self._open[seat.owner] -= 1
        if self._open[seat.owner] <= 0:
            del self._open[seat.owner]


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
