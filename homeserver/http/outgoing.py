"""Large and streamed answers on their way out, as fast as the client takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

PIECE_BYTES = 64 * 1024


class BodyIncomplete(Exception):
    """A streamed body was shorter or longer than the length that was promised for it."""


@implementer(IPushProducer)
class Flow:
    """What the transport tells to wait when its buffer is full."""

    __slots__ = ("_changed", "_waiting", "is_lost", "is_paused")

    def __init__(self, changed: Callable[[bool], object]) -> None:
        self.is_paused = False
        self.is_lost = False
        self._changed = changed
        self._waiting: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.is_paused = True
        self._changed(True)

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.is_paused = False
        self._changed(False)
        self._wake()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.is_lost = True
        self._wake()

    async def wait_for_room(self) -> None:
        """Wait until the transport takes more, or is gone."""
        if self.is_paused and not self.is_lost:
            self._waiting = Deferred()
            await self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


async def send_body(
    transport: Any, flow: Flow, chunks: AsyncIterator[bytes], *, length: int | None, chunked: bool
) -> int:
    """Write a body and return its size; stops quietly when the client is gone.

    Raises:
        BodyIncomplete: the chunks do not add up to the length.
    """
    sent = 0
    try:
        async for chunk in chunks:
            if flow.is_lost:
                return sent
            if not chunk:
                continue
            sent += len(chunk)
            if length is not None and sent > length:
                raise BodyIncomplete(f"more than the {length} bytes promised")
            transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if flow.is_paused:
                await flow.wait_for_room()
            if flow.is_lost:
                return sent
    finally:
        await close_chunks(chunks)
    if length is not None and sent != length:
        raise BodyIncomplete(f"{sent} of the {length} bytes promised")
    if chunked:
        transport.write(b"0\r\n\r\n")
    return sent


async def close_chunks(chunks: AsyncIterator[bytes]) -> None:
    """Let the producer of a body release what it holds."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body that is in memory already, in pieces, so that the transport does not copy it whole."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
