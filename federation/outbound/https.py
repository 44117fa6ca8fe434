"""The real transport: HTTPS to wherever server discovery leads.

Connections are kept per server. The certificate must bear the name that discovery says, and the Host header and SNI
are its too. Spec: https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from federation.outbound.resolver import Resolver
from federation.outbound.transport import RemoteRequest
from federation.wire.discovery import Route
from homeserver.http.gate.dialing import Dialer
from homeserver.http.gate.exchange import NoAnswer, exchange
from homeserver.http.gate.reading import Answer, CappedEndpoint
from homeserver.http.gate.tls import Trust
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock

KEPT_CONNECTIONS = 3
KEPT_CONNECTION_S = 110

_DELEGABLE = "matrix"
_FIXED = "https"
# Schemes of the URLs by which Twisted's pool knows connections: `example.org` and `example.org:443` are two servers.


class HttpsTransport:
    """Carries requests to servers over TLS."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        resolver: Resolver,
        dialer: Dialer,
        trust: Trust,
        *,
        user_agent: str,
        verify: bool = True,
        unverified: tuple[str, ...] = (),
    ) -> None:
        """`unverified` are servers, as globs, whose certificates are taken as they are; or all, without `verify`."""
        self._clock = clock
        self._resolver = resolver
        self._user_agent = user_agent
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = KEPT_CONNECTION_S
        endpoints = _Endpoints(resolver, dialer, trust, verify=verify, unverified=unverified)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, self._pool)

    async def request(self, request: RemoteRequest) -> Answer:
        """See `Transport.request`."""
        route = await self._resolver.resolve(request.destination)
        headers = {"Host": route.host_header, "User-Agent": self._user_agent, **request.headers}
        scheme = _DELEGABLE if ":" not in request.destination.rpartition("]")[2] else _FIXED
        try:
            return await exchange(
                self._agent,
                self._clock,
                request.method,
                f"{scheme}://{request.destination}{request.uri}",
                headers=headers,
                body=request.body,
                timeout_ms=request.timeout_ms,
                max_bytes=request.max_bytes,
                open_sink=request.open_sink,
            )
        except NoAnswer:
            self._resolver.forget(request.destination)
            raise

    async def close(self) -> None:
        """End the connections that were kept."""
        await self._pool.closeCachedConnections()


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(
        self, resolver: Resolver, dialer: Dialer, trust: Trust, *, verify: bool, unverified: tuple[str, ...]
    ) -> None:
        self._resolver = resolver
        self._dialer = dialer
        self._trust = trust
        self._verify = verify
        self._unverified = unverified

    def endpointForURI(self, uri: URI) -> CappedEndpoint:
        server_name = ServerName(uri.netloc.decode("ascii"))
        verify = self._verify and not any(
            fnmatchcase(server_name.lower(), glob.lower()) for glob in self._unverified
        )
        return CappedEndpoint(_Routed(self._resolver, self._dialer, self._trust, server_name, verify=verify))


@implementer(IStreamClientEndpoint)
class _Routed:
    """Connects to the first address of a server's route that takes the connection."""

    def __init__(
        self, resolver: Resolver, dialer: Dialer, trust: Trust, server_name: ServerName, *, verify: bool
    ) -> None:
        self._resolver = resolver
        self._dialer = dialer
        self._trust = trust
        self._server_name = server_name
        self._verify = verify

    def connect(self, factory: Factory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: Factory) -> Any:
        route: Route = await self._resolver.resolve(self._server_name)
        creator = self._trust.creator(route.tls_name, verify=self._verify)
        *others, last = route.addresses
        for address in others:
            try:
                return await self._dialer.endpoint(address.host, address.port, creator).connect(factory)
            except (ConnectError, DNSLookupError):
                # The next one that SRV named.
                continue
        return await self._dialer.endpoint(last.host, last.port, creator).connect(factory)
