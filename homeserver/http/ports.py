"""Whether a port can be had, asked before anything is changed for its sake."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable


class PortRefused(Exception):
    """A port cannot be listened on; the message says why."""


def check_port(port: int, addresses: Iterable[str]) -> None:
    """Refuse a port that is taken. Addresses that this machine does not have are passed over.

    Raises:
        PortRefused: it is taken, or not ours to take.
    """
    for address in addresses:
        try:
            _try_port(port, address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortRefused(f"port {port} on {address} is taken by another program") from error
            if error.errno == errno.EACCES:
                raise PortRefused(f"port {port} on {address} needs more rights than this user has") from error


def _try_port(port: int, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Only this family: `::` and `0.0.0.0` are asked for one by one.
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))
