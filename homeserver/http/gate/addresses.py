"""Which addresses may be connected to."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_ISATAP = 0x5EFE


class AddressPolicy:
    """Denies networks, but for those that are allowed all the same."""

    def __init__(self, denied: Iterable[str], allowed: Iterable[str] = ()) -> None:
        self._denied = [ip_network(network, strict=False) for network in denied]
        self._allowed = [ip_network(network, strict=False) for network in allowed]

    def permits(self, address: str) -> bool:
        """Whether to connect to this IP address. What is no IP address is denied."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        forms = [parsed, *_embedded(parsed)]
        if any(_is_in(form, self._allowed) for form in forms):
            return True
        return not any(_is_in(form, self._denied) for form in forms)


def _is_in(address: IPv4Address | IPv6Address, networks: list[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to by translation or a tunnel."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _COMPATIBLE or (int(address) >> 32) & 0xFFFF == _ISATAP:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]
