"""One request and its answer over a Twisted agent, within limits; all failures of the other side in one voice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer, OpenSink, read_answer
from homeserver.runtime.clock import Clock

# What Twisted raises for what the other side, or the network, did or did not do. A host name or URL that
# cannot be written is a ValueError.
_FAILURES = (
    ConnectError,
    ConnectionClosed,
    ConnectionAborted,
    DNSLookupError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    SchemeNotSupported,
    SSL.Error,
    ValueError,
)


class NoAnswer(RemoteError):
    """The other side did not answer at all: no connection, no certificate, a broken or a late answer."""


class NoAnswerInTime(NoAnswer):
    """The other side took too long."""


async def exchange(
    agent: Any,
    clock: Clock,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout_ms: int,
    max_bytes: int,
    open_sink: OpenSink | None = None,
) -> Answer:
    """Make a request of an agent and read its whole answer.

    Raises:
        NoAnswer: there was none; `NoAnswerInTime` if it only took too long.
        RemoteError: the answer is too large, or the sink refused it.
    """
    running = Deferred.fromCoroutine(_exchange(agent, method, url, headers, body, max_bytes, open_sink))
    expired = []

    def expire() -> None:
        expired.append(True)
        running.cancel()

    timer = clock.call_later(timeout_ms / 1000, expire)
    try:
        return await running
    except (CancelledError, ConnectingCancelledError, *_FAILURES) as error:
        if expired:
            raise NoAnswerInTime(f"no answer from {_host(url)} within {timeout_ms} ms") from error
        if isinstance(error, ConnectTimeout):
            raise NoAnswerInTime(f"cannot reach {_host(url)}: nobody there accepts a connection") from error
        if _is_cancelled(error):
            raise CancelledError from error
        raise NoAnswer(f"cannot reach {_host(url)}: {_describe(error)}") from error
    finally:
        if timer.active():
            timer.cancel()


async def _exchange(
    agent: Any,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    max_bytes: int,
    open_sink: OpenSink | None,
) -> Answer:
    sent = Headers({name: [value] for name, value in headers.items()})
    try:
        response = await agent.request(method.encode(), url.encode(), sent, _producer(body))
    except ResponseNeverReceived as error:
        if method != "PUT" or _is_cancelled(error):
            raise
        # A connection that was kept may have been closed meanwhile. Twisted repeats a GET by itself, but not
        # this.
        response = await agent.request(method.encode(), url.encode(), sent, _producer(body))
    return await read_answer(response, max_bytes=max_bytes, open_sink=open_sink)


def _producer(body: bytes | None) -> _Body | None:
    return None if body is None else _Body(body)


@implementer(IBodyProducer)
class _Body:
    """A body that is in memory. Twisted's own producer of files takes its turns on the process's real reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write it all."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is our own caller who did not want to wait any longer; Twisted hides that too."""
    reasons = [reason.value for reason in getattr(error, "reasons", None) or ()]
    return any(isinstance(one, CancelledError | ConnectingCancelledError) for one in (error, *reasons))


def _describe(error: BaseException) -> str:
    """The reasons that Twisted hides inside its wrappers."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return "; ".join(_describe(reason.value) for reason in reasons)
    return str(error) or type(error).__name__
