"""One HTTP/1.1 connection: requests are read one at a time and answered in order.

It replaces twisted.web's HTTPChannel and Request, which cost two thirds of what a small request may cost
here, and keeps Twisted's decoder of chunked bodies. While a request is served the connection goes on reading,
up to a limit, so that a client that leaves is noticed; what it reads is the next request.

The deadline is a time after which the server's sweep ends the connection: a timer for each would cost more.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from homeserver.errors import MatrixError, NotJson
from homeserver.http.dispatch import dispatch
from homeserver.http.head import CHUNKED, MAX_HEAD_BYTES, BadRequest, Head, parse_head
from homeserver.http.incoming import BodyQueue, BodyReader, too_large
from homeserver.http.outgoing import Output, Streamed, close_chunks
from homeserver.http.proxies import UNIX, plain_address
from homeserver.http.refusals import INTERNAL_ERROR, refusal
from homeserver.http.request import Request
from homeserver.http.responses import Answer, Response, StreamedBody, Upgrade
from homeserver.http.router import Route
from homeserver.http.site import Site
from homeserver.http.wire import CONTINUE

_log = structlog.get_logger(__name__)

MAX_AHEAD_BYTES = 128 * 1024
"""How much a client may send ahead while its request is served."""
SLOWEST_BODY = 10_000
"""Bytes a second, beyond the time that a body may stand still. One that is streamed only may not stand still."""
MAX_DRAINED_BYTES = 1024 * 1024
"""The largest body of a refused request that is read to its end so that the connection can go on."""


class Reading(Enum):
    """What arriving bytes are."""

    HEAD = 1
    BODY = 2
    AHEAD = 3
    DISCARDED = 4


class HttpConnection(Protocol):
    """The server's side of one connection.

    `_request` is the one in hand. Its `_route` is None when it is refused already: `_refusal` waits for the
    body to pass. `_queue` is there while a handler reads the body as it arrives.
    """

    transport: Any  # Twisted's Protocol does not say which of the transport interfaces it has.

    def __init__(self, site: Site, lost: Callable[[HttpConnection], object]) -> None:
        self._site = site
        self._lost = lost
        self._peer = ""
        self._is_tls = False
        self._reading = Reading.HEAD
        self._buffer = b""
        self._is_advancing = False
        self._is_paused = False
        self._is_head_begun = False
        self._closes = False
        self._head: Head | None = None
        self._request: Request | None = None
        self._route: Route | None = None
        self._values: list[str] = []
        self._refusal: Answer | None = None
        self._reader: BodyReader | None = None
        self._queue: BodyQueue | None = None
        self._output: Output
        self._upgraded: Protocol | None = None
        self.deadline = inf

    # Coming and going.

    def connectionMade(self) -> None:
        self._peer = plain_address(getattr(self.transport.getPeer(), "host", UNIX))
        self._is_tls = ISSLTransport.providedBy(self.transport)
        self._output = Output(self.transport, self._stalled)
        if ITCPTransport.providedBy(self.transport):
            # Answers are written whole, so there is nothing to gain from holding small packets back.
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self._wait(self._site.limits.head_s)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, or has been sent away."""
        self._reading = Reading.DISCARDED
        self._buffer = b""
        self._lost(self)
        if self._upgraded is not None:
            self._upgraded.connectionLost(reason)
            return
        self._output.lost()
        if self._queue is not None:
            self._queue.fail(NotJson("the connection was lost before the body was complete"))
        if self._request is not None:
            self._request.disconnected()

    def is_idle(self) -> bool:
        return self._request is None and self._upgraded is None

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = inf
        if self._reading is Reading.BODY and self._queue is None:
            self._fail(BadRequest("the request took too long", 408))
        elif self._reading is Reading.HEAD:
            self.close()
        else:
            self.abort()

    def close(self) -> None:
        """Close once everything written is sent."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close without waiting for anything."""
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def _wait(self, seconds: float) -> None:
        self.deadline = self._site.clock.seconds() + seconds

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        reading = self._reading
        if reading is Reading.HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
        elif reading is Reading.BODY:
            self._read_body(data)
            self._advance()
        elif reading is Reading.AHEAD:
            self._buffer += data
            if len(self._buffer) > MAX_AHEAD_BYTES:
                self._pause()

    def _advance(self) -> None:
        """Read and serve as many requests as are here; answers that come at once do not recurse."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._buffer and self._reading is Reading.HEAD and self._read_head():
                pass
        except BadRequest as error:
            self._fail(error)
        finally:
            self._is_advancing = False

    def _read_head(self) -> bool:
        """Take a head off the buffer and start its request; False if it is not complete."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            # An empty line before a request is forgiven, as RFC 9112 asks.
            self._buffer = buffer[2:]
            return True
        end = buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD_BYTES or (end == -1 and len(buffer) > MAX_HEAD_BYTES):
            raise BadRequest("the request's head is too large", 431)
        if end == -1:
            if not self._is_head_begun:
                self._is_head_begun = True
                self._wait(self._site.limits.head_s)
            return False
        self._buffer = buffer[end + 4 :]
        self._is_head_begun = False
        self._start_request(buffer[:end])
        return True

    def _start_request(self, raw: bytes) -> None:
        head = self._head = parse_head(raw, self._site.known_blocks)
        site = self._site
        headers = head.headers
        self._closes = not head.is_1_1 or b"close" in headers.get(b"connection", b"").lower()
        request = site.begin(head, self._peer, tls=self._is_tls)
        self._request = request
        self._route = None
        self.deadline = inf
        if head.method == "OPTIONS":
            # Spec: a preflight request is answered before anything is looked at.
            self._refusal = Response(200, {})
        else:
            try:
                self._route, self._values = site.router.find(head.method, request.path)
            except MatrixError as error:
                self._refusal = refusal(error)
        if head.length == 0:
            self._reading = Reading.AHEAD
            self._serve()
        else:
            self._start_body(request, head.length, self._route)

    def _start_body(self, request: Request, length: int, route: Route | None) -> None:
        limit = MAX_DRAINED_BYTES if route is None else route.declaration.max_body
        if length > limit:
            self._refuse_body(too_large(limit))
            return
        streams = route is not None and route.declaration.streams
        if not streams and 0 < length <= len(self._buffer):
            # The whole body came with the head, as nearly all do.
            request.body = self._buffer[:length]
            self._buffer = self._buffer[length:]
            self._reading = Reading.AHEAD
            self._serve()
            return
        if b"expect" in request.headers and not self._buffer:
            if route is None:
                self._refuse_body(None)
                return
            self._output.write(CONTINUE)
        self._reading = Reading.BODY
        self._reader = BodyReader(length, limit)
        self._wait(self._site.limits.body_idle_s + (limit if length == CHUNKED else length) / SLOWEST_BODY)
        if streams:
            self._queue = request.stream = BodyQueue(self._pause, self._resume)
            self._serve()
        if self._buffer and self._reading is Reading.BODY:
            data, self._buffer = self._buffer, b""
            self._read_body(data)

    def _read_body(self, data: bytes) -> None:
        assert self._reader is not None and self._request is not None
        try:
            left = self._reader.feed(data)
        except MatrixError as error:
            self._refuse_body(error)
            return
        except BadRequest as error:
            self._fail(error)
            return
        if self._queue is not None:
            self._wait(self._site.limits.body_idle_s)
            self._queue.feed(self._reader.take())
        if left is None:
            return
        body = self._reader.take()
        self._reader = None
        self._buffer = left
        self._reading = Reading.AHEAD
        self.deadline = inf
        if self._queue is not None:
            self._queue.complete()
        else:
            self._request.body = body
            self._serve()

    def _refuse_body(self, error: MatrixError | None) -> None:
        """Answer without reading the body to its end, which is the end of the connection."""
        self._discard()
        if self._queue is not None:
            # The handler is running: it hears of it and answers.
            self._queue.fail(error or too_large(None))
            return
        if error is not None:
            self._refusal = refusal(error)
        self._route = None
        self._serve()

    def _fail(self, error: BadRequest) -> None:
        """The client does not speak HTTP: say so once and close."""
        self._discard()
        request, self._request = self._request, None
        queue, self._queue = self._queue, None
        self._output.write(self._site.wire.bad_request(error))
        self._hang_up()
        if queue is not None:
            queue.fail(NotJson(str(error)))
        if request is not None:
            request.disconnected()

    def _discard(self) -> None:
        self._closes = True
        self._buffer = b""
        self._reader = None
        self._reading = Reading.DISCARDED
        self._resume()
        self.deadline = inf

    def _hang_up(self) -> None:
        """Close; but on a client that still sends only our side, since else it might lose the answer."""
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if self._reading is not Reading.DISCARDED or half_close is None or self._is_tls:
            self.close()
        else:
            half_close()
            self._wait(self._site.limits.linger_s)

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.deadline = inf
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._wait(self._site.limits.body_idle_s)
            self.transport.resumeProducing()

    # Answering.

    def _serve(self) -> None:
        request = self._request
        assert request is not None
        if self._route is not None:
            dispatch(request, self._route, self._values, self._site.router.limiter, self._answer)
            return
        answer, self._refusal = self._refusal, None
        self._answer(request, INTERNAL_ERROR if answer is None else answer)

    def _answer(self, request: Request, answer: Answer) -> None:
        """Write a handler's answer, or throw it away if nobody waits for it any more."""
        if request.is_disconnected or request is not self._request:
            if isinstance(answer, StreamedBody):
                Deferred.fromCoroutine(close_chunks(answer.chunks))
            self._site.access.record(request, status=0, size=0)
            return
        self._closes |= self._site.is_closing
        if self._reading is Reading.BODY:
            # The handler did not want the rest of the body.
            self._discard()
        if isinstance(answer, Upgrade):
            self._upgrade(request, answer)
            return
        try:
            encoded = self._site.encoder.encode(answer, request, close=self._closes)
        except Exception:  # noqa: BLE001 - it is logged, and the client gets another answer
            _log.error("answer cannot be sent", operation=request.operation, exc_info=True)
            encoded = self._site.encoder.encode(INTERNAL_ERROR, request, close=self._closes)
        if isinstance(encoded, Streamed):
            Deferred.fromCoroutine(self._stream(request, encoded))
        else:
            self._output.write(encoded.data)
            self._done(request, encoded.status, encoded.size)

    async def _stream(self, request: Request, answer: Streamed) -> None:
        self._closes = self._closes or (answer.length is None and not answer.chunked)
        if request.method == "HEAD":
            await close_chunks(answer.chunks)
            self._output.write(answer.head)
            self._done(request, answer.status, 0)
            return
        sent = 0
        try:
            sent = await self._output.stream(answer)
        except Exception:  # noqa: BLE001 - it is logged, and the client sees the connection break
            # The status is out already: all that can be said is that the body is not complete.
            _log.error("body broke off", operation=request.operation, exc_info=True)
            self.abort()
        self._done(request, answer.status, sent)

    def _stalled(self, *, by_client: bool) -> None:
        if by_client:
            self._wait(self._site.limits.body_idle_s)
        else:
            self.deadline = inf

    def _upgrade(self, request: Request, answer: Upgrade) -> None:
        protocol: Any = answer.protocol_factory()
        self._upgraded = protocol
        assert self._head is not None
        received, self._buffer = self._head.as_received() + self._buffer, b""
        self._done(request, 101, 0)
        # From here on no detour: messages go straight to the protocol.
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]  # said above
        protocol.makeConnection(self.transport)
        protocol.dataReceived(received)

    def _done(self, request: Request, status: int, size: int) -> None:
        self._site.access.record(request, status=status, size=size)
        request.finished()
        self._request = self._route = self._queue = None
        if request.is_disconnected:
            return
        if self._upgraded is not None:
            self.deadline = inf
        elif self._closes:
            self._hang_up()
        else:
            self._reading = Reading.HEAD
            self._wait(self._site.limits.idle_s)
            self._resume()
            if self._buffer:
                self._advance()
