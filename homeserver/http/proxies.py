"""Which client a request comes from, when reverse proxies stand between."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from homeserver.http.head import Headers

UNIX = "unix"
"""What stands for the address of a Unix socket's peer."""


class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed; from anybody else it is only a claim.

    The header is read from its end, where the nearest proxy writes: the first address that is no proxy of
    ours is the client, whatever stands before it. A Unix socket's peer is trusted when `unix` is listed.
    """

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        listed = set(proxies)
        self._unix = UNIX in listed
        self._networks = [ip_network(proxy, strict=False) for proxy in listed - {UNIX}]
        self._known: dict[str, bool] = {}

    def is_trusted(self, address: str) -> bool:
        """Whether `address` (`unix` for a Unix socket's peer) is one of the proxies."""
        if address == UNIX:
            return self._unix
        known = self._known.get(address)
        if known is None:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[address] = self._is_listed(address)
        return known

    def _is_listed(self, address: str) -> bool:
        try:
            parsed = ip_address(plain_address(address))
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client_of(self, peer: str, headers: Headers) -> str:
        """The client's address, behind the trusted proxy `peer`."""
        forwarded = headers.get(b"x-forwarded-for")
        client = peer
        for hop in reversed((forwarded or b"").decode("latin-1").split(",")):
            hop = hop.strip().strip("[]")
            try:
                ip_address(hop)
            except ValueError:
                break
            client = plain_address(hop)
            if not self.is_trusted(hop):
                break
        return client

    def is_secure(self, headers: Headers, *, tls: bool) -> bool:
        """Whether the client used HTTPS, behind a trusted proxy."""
        forwarded = headers.get(b"x-forwarded-proto")
        return tls if forwarded is None else forwarded.split(b",")[-1].strip().lower() == b"https"


def plain_address(address: str) -> str:
    """An address as it is counted and logged: without a zone, and IPv4 as such on a socket that takes both."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address
