"""A request's body on its way in: counted against its limit, and kept or handed on as it arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

from twisted.internet.defer import Deferred

# Twisted keeps this private, but it is the part of its parser whose hardening against smuggling we want.
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from homeserver.errors import MatrixError, TooLarge
from homeserver.http.head import CHUNKED, BadRequest

QUEUE_BYTES = 256 * 1024
"""How much of a streamed body may wait for its handler before the client is made to wait."""


class BodyReader:
    """Takes the body out of what the connection receives."""

    __slots__ = ("_decoder", "_left", "_limit", "_missing", "_parts")

    def __init__(self, length: int, limit: int) -> None:
        self._limit = limit
        self._missing = length
        self._left: bytes | None = None
        self._parts: list[bytes] = []
        self._decoder = _ChunkedTransferDecoder(self._chunk, self._end) if length == CHUNKED else None

    def feed(self, data: bytes) -> bytes | None:
        """Take what belongs to the body; once that is complete, return what does not.

        Raises:
            TooLarge: a chunked body has outgrown its limit.
            BadRequest: the chunks are malformed.
        """
        if self._decoder is not None:
            try:
                self._decoder.dataReceived(data)
            except _MalformedChunkedDataError as error:
                raise BadRequest(str(error)) from None
            return self._left
        if len(data) < self._missing:
            self._missing -= len(data)
            self._parts.append(data)
            return None
        self._parts.append(data[: self._missing])
        return data[self._missing :]

    def take(self) -> bytes:
        """What has arrived since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def _chunk(self, data: bytes) -> None:
        self._limit -= len(data)
        if self._limit < 0:
            raise too_large(None)
        self._parts.append(data)

    def _end(self, left: bytes) -> None:
        self._left = left


def too_large(limit: int | None) -> TooLarge:
    """The refusal of a body beyond its limit."""
    return TooLarge("the body is too large" if limit is None else f"the body is larger than {limit} bytes")


class BodyQueue:
    """A body that its handler reads while it arrives; `pause` and `resume` hold the client back."""

    __slots__ = ("_bytes", "_error", "_is_complete", "_is_paused", "_parts", "_pause", "_resume", "_waiting")

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause = pause
        self._resume = resume
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._is_paused = False
        self._is_complete = False
        self._error: MatrixError | None = None
        self._waiting: Deferred[None] | None = None

    def feed(self, data: bytes) -> None:
        """More has arrived."""
        if data:
            self._parts.append(data)
            self._bytes += len(data)
            if self._bytes > QUEUE_BYTES and not self._is_paused:
                self._is_paused = True
                self._pause()
            self._wake()

    def complete(self) -> None:
        """All has arrived."""
        self._is_complete = True
        self._wake()

    def fail(self, error: MatrixError) -> None:
        """The rest will not arrive, or may not."""
        self._error = error
        self._parts.clear()
        self._wake()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's pieces.

        Raises:
            TooLarge: there was more than the endpoint takes.
            MatrixError: the client broke off.
        """
        while True:
            if self._parts:
                part = self._parts.popleft()
                self._bytes -= len(part)
                if self._is_paused and self._bytes <= QUEUE_BYTES // 2:
                    self._is_paused = False
                    self._resume()
                yield part
            elif self._error is not None:
                raise self._error
            elif self._is_complete:
                return
            else:
                self._waiting = Deferred()
                await self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
