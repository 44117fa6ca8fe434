"""A WebSocket in memory: the client's side of the handshake and its frames, written out so that they can be wrong."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from tests.harness.server import Server
from tests.harness.wire import MemoryTransport

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK = b"\x01\x02\x03\x04"


class Socket:
    """One WebSocket of a client. `head` is the server's answer to the handshake."""

    def __init__(self, server: Server, path: str, headers: Mapping[str, str]) -> None:
        self._later = server.homeserver.surroundings.clock.call_later
        self.head = b""
        self.pings: list[bytes] = []
        self.closed: int | None = None
        self.is_lost = False
        self.answers_pings = True
        self.answers_close = True
        self._buffer = b""
        self._messages: list[dict[str, Any]] = []
        self._waiting: list[Deferred[None]] = []
        self.transport = MemoryTransport("10.0.0.1", self._received, self._lost)
        protocol = server.buildProtocol(self.transport.getPeer())
        assert protocol is not None
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        fields = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.deliver(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1]) if self.head else 0

    @property
    def has_message(self) -> bool:
        """Whether a message has arrived that nobody has taken yet."""
        return bool(self._messages)

    def pongs(self) -> None:
        """Answer every ping so far, for one who does not answer by itself."""
        pings, self.pings = self.pings, []
        for payload in pings:
            self.sends(payload, opcode=PONG)

    def sends(self, message: Any, *, opcode: int = TEXT) -> None:
        """Send a frame: JSON, or raw bytes as they are."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.transport.deliver(frame(opcode, payload))

    async def receives(self) -> dict[str, Any]:
        """The next text message."""
        while not self._messages:
            if self.is_lost or self.closed is not None:
                raise AssertionError(f"the socket was closed ({self.closed})")
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return self._messages.pop(0)

    async def asks(self, method: str, request_id: str, **params: Any) -> dict[str, Any]:
        """Send a request and take its response out of what arrives."""
        self.sends({"id": request_id, "method": method, "params": params})
        kept: list[dict[str, Any]] = []
        while (message := await self.receives()).get("id") != request_id:
            kept.append(message)
        self._messages[:0] = kept
        return message

    async def is_closed(self) -> int | None:
        """Wait until the server has closed the socket; the code that it gave."""
        while self.closed is None and not self.is_lost:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return self.closed

    async def is_answered(self) -> int:
        """Wait for the answer to the handshake; its status."""
        while not self.head and not self.is_lost:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return self.status

    def vanishes(self) -> None:
        """The connection is gone, without a word."""
        self.transport.disconnect(ConnectionLost())

    def _lost(self, *_: object) -> None:
        self.is_lost = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _received(self, data: bytes) -> None:
        self._buffer += data
        if not self.head:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            self.head, self._buffer = head, rest
        if self.status == 101:
            while self._take_frame():
                pass
        self._wake()

    def _take_frame(self) -> bool:
        data = self._buffer
        if len(data) < 2:
            return False
        size, start = data[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            return False
        payload, self._buffer = data[start : start + size], data[start + size :]
        opcode, is_compressed = data[0] & 15, bool(data[0] & 64)
        if opcode == TEXT:
            if is_compressed:
                payload = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
            self._messages.append(json.loads(payload))
        elif opcode == PING:
            self.pings.append(payload)
            if self.answers_pings:
                # As over a network: what answers a frame comes after it has been written.
                self._later(0, self.transport.deliver, frame(PONG, payload))
        elif opcode == CLOSE:
            self.closed = int.from_bytes(payload[:2], "big")
            if self.answers_close:
                self._later(0, self.transport.deliver, frame(CLOSE, payload[:2]))
        return True


def frame(opcode: int, payload: bytes, *, is_last: bool = True, is_compressed: bool = False) -> bytes:
    """A masked frame, as clients send them."""
    size, first = len(payload), (128 if is_last else 0) | (64 if is_compressed else 0) | opcode
    if size < 126:
        head = bytes([first, 128 | size])
    elif size < 65536:
        head = bytes([first, 128 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 128 | 127]) + size.to_bytes(8, "big")
    return head + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


def opens_socket(
    server: Server,
    token: str | None,
    *,
    path: str = "/_matrix/client/r0/stream",
    headers: Mapping[str, str] | None = None,
    **query: str,
) -> Socket:
    if token is not None:
        query["access_token"] = token
    return Socket(
        server, f"{path}?{urlencode(query)}", {"Sec-WebSocket-Protocol": "m.json", **(headers or {})}
    )
