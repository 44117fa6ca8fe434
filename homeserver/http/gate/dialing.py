"""Connections to other machines, once DNS has been asked and the address has been judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.tls import TlsCreator

_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0


class Dialer:
    """Makes endpoints that connect to permitted addresses only."""

    def __init__(
        self, reactor: Any, policy: AddressPolicy, *, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        self._reactor = _PolicedReactor(reactor, policy)
        self._timeout_s = connect_timeout_s

    def endpoint(self, host: str, port: int, tls: TlsCreator | None = None) -> Any:
        """Where to connect: a host name or IP literal (without brackets) and a port."""
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=self._timeout_s)
        return endpoint if tls is None else _TlsEndpoint(endpoint, tls, self._reactor)


@implementer(IStreamClientEndpoint)
class _TlsEndpoint:
    """Speaks TLS over another endpoint. Twisted's own takes its turns on the process's real reactor."""

    def __init__(self, inner: Any, creator: Any, reactor: Any) -> None:
        self._inner = inner
        self._creator = creator
        self._reactor = reactor

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect; the protocol that is given is the factory's own."""
        connected: Deferred[Any] = self._inner.connect(
            TLSMemoryBIOFactory(self._creator, True, factory, self._reactor)
        )
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IReactorPluggableNameResolver, IReactorTCP, IReactorTime)
class _PolicedReactor:
    """As much of a reactor as an endpoint needs; its DNS answers leave out the addresses that are denied."""

    def __init__(self, reactor: Any, policy: AddressPolicy) -> None:
        self._reactor = reactor
        self._policy = policy
        self.connectTCP = reactor.connectTCP
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds

    @property
    def nameResolver(self) -> Any:
        # Asked for each time: the reactor's own may be replaced when it starts.
        return _PolicedResolver(self._reactor.nameResolver, self._policy)


@implementer(IHostnameResolver)
class _PolicedResolver:
    def __init__(self, inner: Any, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        receiver = _PermittedOnly(resolutionReceiver, self._policy.permits)
        return self._inner.resolveHostName(receiver, hostName, portNumber, addressTypes, transportSemantics)


@implementer(IResolutionReceiver)
class _PermittedOnly:
    def __init__(self, inner: Any, permits: Callable[[str], bool]) -> None:
        self._permits = permits
        self._address_resolved = inner.addressResolved
        self.resolutionBegan = inner.resolutionBegan
        self.resolutionComplete = inner.resolutionComplete

    def addressResolved(self, address: Any) -> None:
        if not isinstance(address, IPv4Address | IPv6Address):
            return
        if self._permits(address.host):
            self._address_resolved(address)
        else:
            # Whoever asked is told as if there were no such host; the operator may want to know better.
            _log.info("an address is not to be reached: see ip_range_blacklist", address=address.host)
