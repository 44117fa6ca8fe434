"""Whoever speaks over a socket, as the socket sees them."""

from __future__ import annotations

from typing import Protocol

from homeserver.sync.socket import Line

MAX_FRAME_BYTES = 128 * 1024


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
