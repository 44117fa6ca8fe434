"""One request and its answer over a Twisted agent, within limits; all failures of the other side in one voice."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionClosed, DNSLookupError
from twisted.web.client import (
    FileBodyProducer,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers

from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer, OpenSink, read_answer
from homeserver.runtime.clock import Clock

# What Twisted raises for what the other side, or the network, did or did not do. A host name or URL that cannot
# be written is a ValueError.
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
        NoAnswer: there was none in time.
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
    except CancelledError as error:
        if not expired:
            raise
        raise NoAnswer(f"no answer from {_host(url)} within {timeout_ms} ms") from error
    except _FAILURES as error:
        if expired:
            raise NoAnswer(f"no answer from {_host(url)} within {timeout_ms} ms") from error
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
    except ResponseNeverReceived:
        if method not in ("GET", "PUT"):
            raise
        # A connection that was kept may have been closed meanwhile; these two may be repeated.
        response = await agent.request(method.encode(), url.encode(), sent, _producer(body))
    return await read_answer(response, max_bytes=max_bytes, open_sink=open_sink)


def _producer(body: bytes | None) -> FileBodyProducer | None:
    return None if body is None else FileBodyProducer(BytesIO(body))


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _describe(error: BaseException) -> str:
    """The reasons that Twisted hides inside its wrappers."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return "; ".join(_describe(reason.value) for reason in reasons)
    return str(error) or type(error).__name__
