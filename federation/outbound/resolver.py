"""Finds where a server is: the look-ups of server discovery, and what they said last time.

Spec: https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import TimeoutError as DnsTimeout
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DomainError, ResolverError

from federation.outbound.once import Once
from federation.outbound.transport import WebClient
from federation.wire import well_known
from federation.wire.discovery import (
    SRV_SERVICES,
    Route,
    SrvRecord,
    route_by_default,
    route_by_srv,
    route_without_lookup,
)
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness

K = TypeVar("K")
V = TypeVar("V")

CACHED_SERVERS = 10_000
WELL_KNOWN_TIMEOUT_MS = 15_000
SRV_LIFETIME_MS = 5 * 60 * 1000
"""SRV records are asked for again after this, or earlier if they say so."""

_SRV_TIMEOUTS_S = (1, 3, 6)


class SrvLookup(Protocol):
    """Asks DNS for SRV records."""

    async def lookup(self, name: str) -> tuple[Sequence[SrvRecord], int]:
        """The records and for how many milliseconds they may be cached; no records is not an error.

        Raises:
            RemoteError: DNS does not answer.
        """
        ...


class DnsSrvLookup:
    """Asks DNS through a `twisted.names` resolver."""

    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver

    async def lookup(self, name: str) -> tuple[Sequence[SrvRecord], int]:
        try:
            answers, _, _ = await self._resolver.lookupService(name, timeout=_SRV_TIMEOUTS_S)
        except (DNSNameError, AuthoritativeDomainError):
            return (), SRV_LIFETIME_MS
        except (DomainError, ResolverError, DnsTimeout) as error:
            raise RemoteError(f"DNS does not answer about {name}: {error!r}") from error
        found = [answer for answer in answers if answer.type == dns.SRV and answer.payload is not None]
        records = [
            SrvRecord(
                one.payload.priority, one.payload.weight, one.payload.port, one.payload.target.name.decode()
            )
            for one in found
        ]
        lifetime_ms = min((int(one.ttl) * 1000 for one in found), default=SRV_LIFETIME_MS)
        return records, min(lifetime_ms, SRV_LIFETIME_MS)


@dataclass(slots=True)
class _Delegation:
    """What a well-known file said; None is that there is no valid one."""

    name: ServerName | None
    expires_ms: int
    failures: int


class Resolver:
    """Gives the route to a server; look-ups of one name that run at once are one look-up."""

    def __init__(self, web: WebClient, srv: SrvLookup, clock: Clock, randomness: Randomness) -> None:
        self._web = web
        self._srv = srv
        self._clock = clock
        self._randomness = randomness
        self._delegations: OrderedDict[ServerName, _Delegation] = OrderedDict()
        self._srv_records: OrderedDict[str, tuple[Sequence[SrvRecord], int]] = OrderedDict()
        self._once: Once[ServerName, Route] = Once()

    async def resolve(self, server_name: ServerName) -> Route:
        """Where to connect, and under which names."""
        route = route_without_lookup(server_name)
        if route is not None:
            return route
        return await self._once.run(server_name, lambda: self._look_up(server_name))

    def forget(self, server_name: ServerName) -> None:
        """The route did not work: ask again next time, unless it was an error that is remembered."""
        known = self._delegations.get(server_name)
        if known is not None and known.name is not None:
            del self._delegations[server_name]

    async def _look_up(self, server_name: ServerName) -> Route:
        delegated = await self._delegation(server_name)
        if delegated is not None:
            route = route_without_lookup(delegated)
            if route is not None:
                return route
        host = server_name if delegated is None else delegated
        for service in SRV_SERVICES:
            records = await self._records(f"{service}.{host}")
            route = route_by_srv(host, records, self._randomness.below)
            if route is not None:
                return route
        return route_by_default(host)

    async def _delegation(self, server_name: ServerName) -> ServerName | None:
        now_ms = self._clock.now_ms()
        known = self._delegations.get(server_name)
        if known is not None and known.expires_ms > now_ms:
            return known.name
        found, answer = None, None
        try:
            answer = await self._web.fetch(
                "GET",
                f"https://{server_name}{well_known.PATH}",
                timeout_ms=WELL_KNOWN_TIMEOUT_MS,
                max_bytes=well_known.MAX_BYTES,
                max_redirects=well_known.MAX_REDIRECTS,
            )
        except RemoteError:
            # A server without a web server is as good as any other.
            pass
        else:
            found = _delegated(answer)
        now_ms = self._clock.now_ms()
        if found is not None and answer is not None:
            lifetime_ms, failures = well_known.lifetime_ms(answer.headers, now_ms=now_ms), 0
        else:
            failures = 1 if known is None else known.failures + 1
            lifetime_ms = well_known.error_lifetime_ms(failures)
        _remember(self._delegations, server_name, _Delegation(found, now_ms + lifetime_ms, failures))
        return found

    async def _records(self, name: str) -> Sequence[SrvRecord]:
        now_ms = self._clock.now_ms()
        known = self._srv_records.get(name)
        if known is not None and known[1] > now_ms:
            return known[0]
        try:
            records, lifetime_ms = await self._srv.lookup(name)
        except RemoteError:
            # What DNS said last is better than nothing, and without it the default port is worth a try.
            return () if known is None else known[0]
        _remember(self._srv_records, name, (records, now_ms + lifetime_ms))
        return records


def _delegated(answer: Answer) -> ServerName | None:
    return well_known.parse_well_known(answer.body) if answer.status == 200 else None


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > CACHED_SERVERS:
        cache.popitem(last=False)
