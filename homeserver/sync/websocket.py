"""How WebSockets open: what a handshake must say, and how many a user may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from twisted.internet.protocol import Protocol

from homeserver.errors import LimitExceeded, MatrixError
from homeserver.http.request import Request
from homeserver.http.responses import Upgrade
from homeserver.sync.session import Session

SOCKETS_PER_USER = 32


class UpgradeRequired(MatrixError):
    status = 426
    errcode = "M_UNKNOWN"


def check_upgrade(request: Request) -> list[str]:
    """The subprotocols that a handshake offers.

    Raises:
        UpgradeRequired: it is none.
    """
    if (request.header("upgrade") or "").lower() != "websocket":
        raise UpgradeRequired("this is a WebSocket: ask with Upgrade: websocket")
    offered = request.header("sec-websocket-protocol") or ""
    return [each for part in offered.split(",") if (each := part.strip())]


@dataclass(slots=True)
class Seat:
    """Whom a socket counts for: a user, or an address before anybody has logged in."""

    owner: str


class WebSockets:
    """Opens sockets, so many for each owner."""

    def __init__(self, subprotocol: str) -> None:
        self._subprotocol = subprotocol
        self._open: Counter[str] = Counter()

    def check_seat(self, owner: str, *, most: int = SOCKETS_PER_USER) -> None:
        """
        Raises:
            LimitExceeded: the owner has too many open.
        """
        if self._open[owner] >= most:
            raise LimitExceeded(f"{most} sockets are open already", retry_after_ms=10_000)

    @contextmanager
    def arriving(self, owner: str, *, most: int = SOCKETS_PER_USER) -> Iterator[None]:
        """While a socket is about to open it counts as well: a thousand at once shall not pass.

        Raises:
            LimitExceeded: the owner has too many open.
        """
        self.check_seat(owner, most=most)
        seat = Seat(owner)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._left(seat)

    def move(self, seat: Seat, owner: str) -> None:
        """The socket has turned out to be somebody's.

        Raises:
            LimitExceeded: they have too many open.
        """
        self.check_seat(owner)
        self._left(seat)
        seat.owner = owner
        self._open[owner] += 1

    def upgrade(self, seat: Seat, session: Session) -> Upgrade:
        """Hand a connection to its session."""
        return Upgrade(lambda: self._protocol(seat, session))

    def _protocol(self, seat: Seat, session: Session) -> Protocol:
        # With the first socket, not with the server: what it brings along weighs 5 MB.
        from homeserver.sync.socket_protocol import make_protocol

        self._open[seat.owner] += 1
        return make_protocol(session, self._subprotocol, lambda: self._left(seat))

    def _left(self, seat: Seat) -> None:
        self._open[seat.owner] -= 1
        if self._open[seat.owner] <= 0:
            del self._open[seat.owner]
