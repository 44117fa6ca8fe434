"""Answers on their way out: small ones at once, large and streamed ones as fast as the client takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class Streamed:
    """An answer of which the head is bytes and the body is still to be produced."""

    status: int
    head: bytes
    chunks: AsyncIterator[bytes]
    length: int | None
    chunked: bool


class BodyIncomplete(Exception):
    """A streamed body was shorter or longer than the length that was promised for it."""


@implementer(IPushProducer)
class Flow:
    """What the transport tells to wait when its buffer is full."""

    __slots__ = ("_changed", "_is_lost", "_waiting", "is_paused")

    def __init__(self, changed: Callable[..., object]) -> None:
        self.is_paused = False
        self._is_lost = False
        self._changed = changed
        self._waiting: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.is_paused = True
        self._changed(by_client=True)

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.is_paused = False
        self._changed(by_client=False)
        self._wake()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._is_lost = True
        self._wake()

    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._is_lost

    async def wait_for_room(self) -> None:
        """Wait until the transport takes more, or is gone."""
        if self.is_paused and not self._is_lost:
            self._waiting = Deferred()
            await self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


class Output:
    """The writing side of a connection. `stalled` hears when the client begins and ceases to hold us up."""

    __slots__ = ("_flow", "_send", "_stalled", "_transport")

    def __init__(self, transport: Any, stalled: Callable[..., object]) -> None:
        self._transport = transport
        self._stalled = stalled
        self._flow: Flow | None = None
        self._send: Callable[[bytes], int] | None = None
        # Only a bare socket: a TLS transport passes attributes that it lacks on to the socket below it.
        if isinstance(transport, Connection) and not transport.TLS:
            self._send = transport.getHandle().send

    def write(self, data: bytes) -> None:
        """Give an answer to the socket at once, without the reactor's round by way of a buffer.

        That is only sound while nothing waits in the buffer: the first answer that does not fit ends it for
        good.
        """
        if self._send is not None:
            try:
                sent = self._send(data)
            except OSError:
                # There is no room, or the connection is broken, which the transport will find by itself.
                sent = 0
            if sent == len(data):
                return
            self._send = None
            data = data[sent:]
        self._transport.write(data)

    async def stream(self, answer: Streamed) -> int:
        """Write a head and a body that is still to be produced; the size of what was written of the body.

        Raises:
            BodyIncomplete: the chunks do not add up to the length.
        """
        self._send = None
        flow = self._flow = Flow(self._stalled)
        self._transport.registerProducer(flow, True)
        self._transport.write(answer.head)
        try:
            return await send_body(
                self._transport, flow, answer.chunks, length=answer.length, chunked=answer.chunked
            )
        finally:
            self._flow = None
            if not flow.is_lost():
                self._transport.unregisterProducer()

    def lost(self) -> None:
        """The connection is gone."""
        if self._flow is not None:
            self._flow.stopProducing()


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
            if flow.is_lost():
                return sent
            if not chunk:
                continue
            sent += len(chunk)
            if length is not None and sent > length:
                raise BodyIncomplete(f"more than the {length} bytes promised")
            transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if flow.is_paused:
                await flow.wait_for_room()
            if flow.is_lost():
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
