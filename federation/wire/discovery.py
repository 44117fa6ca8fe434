"""Where a server name leads: the decisions of server discovery, whose look-ups somebody else makes.

Spec: https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from homeserver.ids import ServerName

DEFAULT_PORT = 8448
SRV_SERVICES = ("_matrix-fed._tcp", "_matrix._tcp")
"""The names under which SRV records are looked up; the second is deprecated."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP literal (without brackets) and a port to connect to."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a server: the places to try in order, the Host header, and the name on its certificate."""

    addresses: tuple[Address, ...]
    host_header: str
    tls_name: str


@dataclass(frozen=True, slots=True)
class Authority:
    """A server name taken apart. `host` has no brackets."""

    host: str
    port: int | None
    is_ip: bool


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """One answer to an SRV look-up."""

    priority: int
    weight: int
    port: int
    target: str


def split_server_name(server_name: str) -> Authority:
    """Host and port of a server name, which is known to be well-formed."""
    if server_name.startswith("["):
        host, _, rest = server_name[1:].partition("]")
        return Authority(host, int(rest[1:]) if rest else None, is_ip=True)
    host, colon, port = server_name.partition(":")
    return Authority(host, int(port) if colon else None, is_ip=is_ip_literal(host))


def is_ip_literal(host: str) -> bool:
    """Whether the host is an IPv4 or IPv6 address, without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def route_without_lookup(server_name: ServerName) -> Route | None:
    """Steps 1 and 2 (and 3.1, 3.2 for a delegated name): names that say themselves where to connect."""
    authority = split_server_name(server_name)
    if not authority.is_ip and authority.port is None:
        return None
    port = DEFAULT_PORT if authority.port is None else authority.port
    return Route((Address(authority.host, port),), server_name, authority.host)


def route_by_srv(host: ServerName, records: Sequence[SrvRecord], pick: Callable[[int], int]) -> Route | None:
    """Steps 3.3, 3.4, 4 and 5: what the SRV records say. The certificate must bear the name before SRV.

    None if there are no records; `pick(n)` chooses among 0..n-1.
    """
    ordered = order_srv(records, pick)
    if not ordered:
        return None
    return Route(tuple(Address(record.target, record.port) for record in ordered), host, host)


def route_by_default(host: ServerName) -> Route:
    """Steps 3.5 and 6: the host itself, at port 8448."""
    return Route((Address(host, DEFAULT_PORT),), host, host)


def order_srv(records: Iterable[SrvRecord], pick: Callable[[int], int]) -> list[SrvRecord]:
    """The records in the order in which RFC 2782 has us try them: by priority, then at random by weight."""
    # A target of "." says that the service is decidedly not available.
    waiting = sorted((record for record in records if record.target.rstrip(".")), key=lambda r: r.priority)
    ordered: list[SrvRecord] = []
    while waiting:
        # Those without weight come first, so that they have a small chance of being picked.
        level = [record for record in waiting if record.priority == waiting[0].priority]
        level.sort(key=lambda record: record.weight)
        chosen = level[0]
        remaining = pick(sum(record.weight for record in level) + 1)
        for record in level:
            remaining -= record.weight
            if remaining <= 0:
                chosen = record
                break
        ordered.append(chosen)
        waiting.remove(chosen)
    return ordered
