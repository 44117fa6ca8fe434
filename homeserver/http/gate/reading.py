"""Answers of other machines, read no further than their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from homeserver.errors import RemoteError

MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What another machine answered. Header names are in lower case; the first of several counts.

    `url` is where it came from in the end, if redirects were followed.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""


class AnswerTooLarge(RemoteError):
    """An answer has more bytes than we are ready to read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer has more than {limit} bytes", errcode="M_TOO_LARGE")


Sink = Callable[[bytes], None]
OpenSink = Callable[["Answer"], Sink]
"""Given the head of a success, makes what takes its body."""


async def read_answer(response: Any, *, max_bytes: int, open_sink: OpenSink | None = None) -> Answer:
    """The whole answer. With a sink, the body of a success goes there as it comes, and not into the answer.

    What the sink raises ends the connection and is raised here.

    Raises:
        RemoteError: the answer is too large or breaks off.
    """
    headers: dict[str, str] = {}
    for name, values in response.headers.getAllRawHeaders():
        headers.setdefault(name.decode("latin-1").lower(), values[0].decode("latin-1") if values else "")
    status = int(response.code)
    # `length` is a marker object when the answer did not say.
    if isinstance(response.length, int) and response.length > max_bytes:
        response.deliverBody(_Refuser())
        raise AnswerTooLarge(max_bytes)
    try:
        sink = open_sink(Answer(status, headers)) if open_sink is not None and status == 200 else None
    except Exception:
        response.deliverBody(_Refuser())
        raise
    reader = _Reader(max_bytes, sink)
    response.deliverBody(reader)
    return Answer(status, headers, await reader.done)


class _Refuser(Protocol):
    """Wants nothing of the body."""

    def connectionMade(self) -> None:
        _abort(self.transport)


class _Reader(Protocol):
    def __init__(self, max_bytes: int, sink: Sink | None) -> None:
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self._sink = sink
        self.done: Deferred[bytes] = Deferred(lambda _: _abort(self.transport))

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._left -= len(data)
        if self._left < 0:
            self._fail(Failure(AnswerTooLarge(self._max_bytes)))
        elif self._sink is None:
            self._chunks.append(data)
        else:
            try:
                self._sink(data)
            except Exception:  # noqa: BLE001  # it is raised where the answer is awaited
                self._fail(Failure())

    def _fail(self, failure: Failure) -> None:
        done = self.done
        done.errback(failure)
        _abort(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # COMPAT(HTTP/1.0): without a length, the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss, ConnectionDone):
            self.done.callback(b"".join(self._chunks))
        else:
            self.done.errback(Failure(RemoteError(f"the answer broke off: {reason.getErrorMessage()}")))


def _abort(transport: Any) -> None:
    for method in ("abortConnection", "loseConnection", "stopProducing"):
        end = getattr(transport, method, None)
        if end is not None:
            end()
            return


@implementer(IStreamClientEndpoint)
class CappedEndpoint:
    """Connects as another endpoint does, and ends a connection whose answer's head does not end."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connect(self, factory: Factory) -> Deferred[Any]:
        """Connect; the protocol that is given is the factory's own."""
        wrapping = WrappingFactory(factory)
        wrapping.protocol = _HeadCap
        connected: Deferred[Any] = self._inner.connect(wrapping)
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


class _HeadCap(ProtocolWrapper):
    """Counts what comes between a request and the end of its answer's head."""

    transport: Any
    wrappedProtocol: Any
    _head_bytes = 0
    _tail = b""
    _in_head = False

    def write(self, data: bytes) -> None:
        self._expect_head()
        self.transport.write(data)

    def writeSequence(self, data: list[bytes]) -> None:
        self._expect_head()
        self.transport.writeSequence(data)

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes, self._tail = True, 0, b""

    def dataReceived(self, data: bytes) -> None:
        if self._in_head:
            end = (self._tail + data).find(b"\r\n\r\n")
            self._head_bytes += len(data)
            self._tail = data[-3:]
            if end >= 0:
                self._in_head = False
            elif self._head_bytes > MAX_HEAD_BYTES:
                _abort(self.transport)
                return
        self.wrappedProtocol.dataReceived(data)
