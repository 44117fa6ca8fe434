"""Connections in memory: a client's bytes go into the server's protocol, and its answer's bytes come out.

Nothing is between the two but this: the server reads, routes, authenticates and writes exactly as it does over TCP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.conformance.validator import Answer
from tests.harness.http_answers import AnswerReader


class Door(Protocol):
    """What takes connections: a protocol factory, of which Twisted's interface tells a type checker nothing.

    If it has a `clock`, what it writes arrives at the next turn of that clock's reactor.
    """

    def buildProtocol(self, address: Any, /) -> Any: ...


@implementer(ITransport)
class MemoryTransport:
    """The server's end of a connection in memory.

    `write` passes on at once, unless the client `holds`: then bytes wait, and more than `high_water` of them pause the
    server's producer as a full socket buffer would.
    """

    disconnecting = False
    high_water = 64 * 1024

    def __init__(
        self,
        client_address: str,
        received: Callable[[bytes], object],
        lost: Callable[[], object],
        *,
        later: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self._client_address = client_address
        self._received = received
        self._lost = lost
        self._later = later
        self._sent: list[bytes] = []
        self._is_flush_due = False
        self._is_held = False
        self._producer: Any = None
        self._is_producer_paused = False
        self._reading_paused: list[bytes] | None = None
        self.protocol: Any = None
        self.is_connected = True

    # What a protocol asks of its transport.

    def write(self, data: bytes) -> None:
        """The server sends."""
        if not self.is_connected or self.disconnecting:
            return
        if not isinstance(data, bytes):
            raise TypeError(f"{type(data).__name__} written to a transport")
        self._sent.append(data)
        self._flush_soon()
        if self._is_held and self._producer is not None and self.unread > self.high_water:
            self._is_producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close once everything written has been read."""
        self.disconnecting = True
        self._flush_soon()

    def loseWriteConnection(self) -> None:  # noqa: N802  # Twisted's name
        self.loseConnection()

    def abortConnection(self) -> None:
        self._sent.clear()
        self.disconnect(ConnectionAborted())

    def _flush_soon(self) -> None:
        if self._later is None:
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._later(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._sent and self.is_connected and not self._is_held:
            data, self._sent = b"".join(self._sent), []
            self._received(data)
            if self._is_producer_paused and self._producer is not None:
                self._is_producer_paused = False
                self._producer.resumeProducing()
        if self.disconnecting and not self._sent and self._producer is None:
            self.disconnect(ConnectionDone())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self._client_address, 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8008)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802  # Twisted's name
        """As a socket would."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802  # Twisted's name
        """As a socket would."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not streaming:
            raise RuntimeError("pull producers are not used here")
        self._producer = producer
        if not self.is_connected:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self.disconnecting:
            self._flush_soon()

    def pauseProducing(self) -> None:
        """The server wants no more bytes for now."""
        if self._reading_paused is None:
            self._reading_paused = []

    def resumeProducing(self) -> None:
        waiting, self._reading_paused = self._reading_paused, None
        for data in waiting or ():
            self.deliver(data)

    # What the client does.

    def deliver(self, data: bytes) -> None:
        """Bytes from the client arrive at the server."""
        if self._reading_paused is not None:
            self._reading_paused.append(data)
        elif self.is_connected and self.protocol is not None:
            self.protocol.dataReceived(data)

    @property
    def unread(self) -> int:
        """How many bytes have been sent that the client has not read."""
        return sum(map(len, self._sent))

    def hold(self) -> None:
        """The client stops reading."""
        self._is_held = True

    def release(self) -> None:
        """The client reads again."""
        self._is_held = False
        self._flush()

    def disconnect(self, reason: Exception) -> None:
        """The connection is over, for both sides."""
        if not self.is_connected:
            return
        self.is_connected = False
        if self.protocol is not None:
            self.protocol.connectionLost(Failure(reason))
        self._lost()


class Connection:
    """The client's end of a connection in memory: requests go in, answers come back in their order."""

    def __init__(self, door: Door, client_address: str = "127.0.0.1") -> None:
        self._waiting: deque[Deferred[Answer]] = deque()
        self._reader = AnswerReader(self._answered, self._upgraded)
        self.upgraded_data: Callable[[bytes], object] | None = None
        self._early_data = b""
        clock = getattr(door, "clock", None)
        later = None if clock is None else partial(clock.call_later, 0)
        self.transport = MemoryTransport(client_address, self._reader.feed, self._closed, later=later)
        protocol = door.buildProtocol(self.transport.getPeer())
        if protocol is None:
            raise ConnectionRefusedError("the server takes no more connections")
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self.transport.is_connected and not self.transport.disconnecting and not self._waiting

    def send(self, request: bytes, *, head_only: bool = False) -> Deferred[Answer]:
        """Send a whole request; the answer comes when it comes. Cancelling hangs up, as a client does."""
        answer: Deferred[Answer] = Deferred(lambda _: self.hang_up())
        self._waiting.append(answer)
        self._reader.head_only = head_only
        self.transport.deliver(request)
        return answer

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are perhaps no request."""
        self.transport.deliver(data)

    def hang_up(self) -> None:
        """Leave without a word."""
        self.transport.disconnect(ConnectionLost())

    def on_data(self, take: Callable[[bytes], object]) -> None:
        """Who gets the bytes that come after the connection was upgraded."""
        self.upgraded_data = take
        early, self._early_data = self._early_data, b""
        if early:
            take(early)

    def _answered(self, answer: Answer) -> None:
        if not self._waiting:
            raise AssertionError(f"an answer that nobody asked for: {answer}")
        self._waiting.popleft().callback(answer)

    def _upgraded(self, data: bytes) -> None:
        if self.upgraded_data is None:
            self._early_data += data
        else:
            self.upgraded_data(data)

    def _closed(self) -> None:
        self._reader.closed()
        waiting, self._waiting = self._waiting, deque()
        for answer in waiting:
            if not answer.called:
                answer.errback(Failure(ConnectionLost("the server hung up without answering")))


def format_request(method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
