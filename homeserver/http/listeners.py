"""Opening the ports and sockets on which servers listen: TCP, TLS and Unix."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from pathlib import Path
from typing import Any

import structlog
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

_log = structlog.get_logger(__name__)

BACKLOG = 1024
"""Connections that wait to be accepted: a crowd of clients reconnects at once after a restart."""


def listen_tcp(
    reactor: Any,
    factory: ServerFactory,
    *,
    port: int,
    addresses: Iterable[str],
    certificate: Any = None,
) -> list[Any]:
    """Listen on a TCP port, with TLS if there is a certificate, and return the open ports.

    `certificate` is a `ReloadingCertificate`. An address of a family that the machine lacks is left out; so
    is an IPv4 wildcard that the IPv6 one covers already.

    Raises:
        CannotListenError: an address cannot be listened on, or there is none left.
    """
    wrapped: Any = factory
    served = wrapped if certificate is None else TLSMemoryBIOFactory(certificate, False, wrapped)
    ports: list[Any] = []
    refused: CannotListenError | None = None
    for address in addresses:
        try:
            opened = reactor.listenTCP(port, served, backlog=BACKLOG, interface=address)
        except CannotListenError as error:
            code = getattr(error.socketError, "errno", None)
            covered = code == EADDRINUSE and address == "0.0.0.0" and any(_is_wildcard(one) for one in ports)  # noqa: S104 - compared, not bound
            if not covered and code not in (EAFNOSUPPORT, EADDRNOTAVAIL):
                close_all(ports)
                raise
            refused = error
            continue
        if port == 0:
            # Whatever port the first address got, the others get too.
            port = opened.getHost().port
        ports.append(opened)
    if not ports and refused is not None:
        raise refused
    return ports


def _is_wildcard(port: Any) -> bool:
    return bool(port.getHost().host == "::")


def listen_unix(reactor: Any, factory: ServerFactory, *, path: Path, mode: int) -> Any:
    """Listen on a Unix socket; one that a dead process left behind is replaced, one in use is not."""
    # With `wantPID`, Twisted keeps a lock beside the socket by which it knows whether its owner lives.
    return reactor.listenUNIX(str(path), factory, backlog=BACKLOG, mode=mode, wantPID=True)


def close_all(ports: Iterable[Any]) -> None:
    """Stop listening; connections that are open stay so."""
    for port in ports:
        port.stopListening()
