"""The world outside, in memory: names, addresses and servers behind them, for everything that connects."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConnector,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.fixtures.reactor import VirtualReactor


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver)
class Outside:
    """As much of a reactor as a client needs. `names` has the addresses of hosts, `servers` who listens there."""

    def __init__(self, reactor: VirtualReactor) -> None:
        self.names: dict[str, list[str]] = {}
        self.servers: dict[tuple[str, int], Any] = {}
        self.silent: set[str] = set()
        self.connected: list[tuple[str, int]] = []
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        self.getDelayedCalls = reactor.getDelayedCalls
        self.nameResolver = self
        self._reactor = reactor

    def resolveHostName(
        self, receiver: Any, host: str, port: int = 0, types: Any = None, semantics: str = "TCP"
    ) -> object:
        receiver.resolutionBegan(self)
        # An address is its own name.
        for address in self.names.get(host, [host] if host[:1].isdigit() or ":" in host else []):
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()
        return self

    def connectTCP(  # noqa: N802  # Twisted's name
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,  # noqa: N803  # Twisted's name
    ) -> Any:
        connector = _Connector()
        factory.doStart()
        factory.startedConnecting(connector)
        if host in self.silent:
            self.callLater(timeout, factory.clientConnectionFailed, connector, Failure(error.TimeoutError()))
            return connector
        self.connected.append((host, port))
        server = self.servers.get((host, port))
        if server is None:
            self.callLater(
                0, factory.clientConnectionFailed, connector, Failure(error.ConnectionRefusedError())
            )
            return connector
        self.callLater(0, self._connect, connector, host, port, factory, server)
        return connector

    def _connect(self, connector: _Connector, host: str, port: int, factory: Any, server: Any) -> None:
        if connector.is_stopped:
            return
        near, far = _End(self._reactor, host), _End(self._reactor, "192.0.2.77")
        near.other, far.other = far, near
        near.protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        far.protocol = server.buildProtocol(IPv4Address("TCP", "192.0.2.77", 1))
        far.protocol.makeConnection(far)
        near.protocol.makeConnection(near)


@implementer(IConnector)
class _Connector:
    is_stopped = False

    def stopConnecting(self) -> None:  # noqa: N802  # Twisted's name
        self.is_stopped = True

    def disconnect(self) -> None:
        """Nobody is."""

    def getDestination(self) -> IPv4Address:  # noqa: N802  # Twisted's name
        return IPv4Address("TCP", "203.0.113.1", 1)


@implementer(ITransport)
class _End:
    """One end of a connection."""

    disconnecting = False

    def __init__(self, reactor: VirtualReactor, peer: str) -> None:
        self._reactor = reactor
        self._peer = peer
        self.other: _End
        self.protocol: Any = None
        self.is_lost = False
        self._is_pulling = False

    def write(self, data: bytes) -> None:
        if not self.is_lost:
            self._reactor.callLater(0, self.other.receive, data)

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def receive(self, data: bytes) -> None:
        if not self.is_lost:
            self.protocol.dataReceived(data)

    def loseConnection(self) -> None:
        for end in (self.other, self):
            self._reactor.callLater(0, end.lose)

    abortConnection = loseConnection

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connectionLost(Failure(error.ConnectionDone()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """This end is never full: who produces when asked is asked until there is no more."""
        if not streaming:
            self._is_pulling = True
            while self._is_pulling:
                producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._is_pulling = False

    def pauseProducing(self) -> None:
        """This end cannot be held up."""

    def resumeProducing(self) -> None:
        """This end cannot be held up."""

    def stopProducing(self) -> None:
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802  # Twisted's name
        """Nothing is held back here."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802  # Twisted's name
        """Nobody vanishes without a word here."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self._peer, 1)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.77", 1)
