"""The HTTP server of one listener: it makes connections, counts them and ends those that take too long."""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from homeserver.http.access import AccessLog
from homeserver.http.connection import HttpConnection
from homeserver.http.counts import RequestCounts
from homeserver.http.encoding import Encoder
from homeserver.http.proxies import TrustedProxies
from homeserver.http.router import Router
from homeserver.http.site import Limits, Site
from homeserver.http.wire import Wire
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics

SWEEP_S = 5.0
_METRIC_NAME = re.compile(r"[^0-9A-Za-z_]").sub


class HttpServer(ServerFactory):
    """Serves a router over any stream transport.

    `write_access` gets access lines; `name` is the listener's, for them. `trusted_proxies` are addresses or
    networks (or `unix`) whose X-Forwarded-For is believed.
    """

    noisy = False

    def __init__(
        self,
        router: Router,
        clock: Clock,
        *,
        write_access: Callable[[str], object] | None,
        name: str = "http",
        trusted_proxies: tuple[str, ...] = (),
        limits: Limits | None = None,
        compress_above: int | None = None,
        request_id_header: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        wire = Wire(clock.now_ms)
        self._clock = clock
        self._site = Site(
            router=router,
            clock=clock,
            wire=wire,
            encoder=Encoder(wire, compress_above),
            access=AccessLog(
                clock, name, write_access, RequestCounts(metrics) if metrics is not None else None
            ),
            proxies=TrustedProxies(trusted_proxies),
            limits=limits or Limits(),
            request_id_header=request_id_header,
        )
        self._connections: set[HttpConnection] = set()
        self._is_sweeping = False
        self._drained: Deferred[None] | None = None
        if metrics is not None:
            about = f"Open connections to the listener {name}."
            metrics.gauge_of(
                "hearth_http_connections_" + _METRIC_NAME("_", name), about, lambda: self.connections
            )

    def buildProtocol(self, addr: IAddress | None) -> HttpConnection | None:
        """A connection for a new client; None turns it away."""
        if self._site.is_closing or len(self._connections) >= self._site.limits.max_connections:
            return None
        connection = HttpConnection(self._site, self._lost)
        self._connections.add(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            self._clock.call_later(SWEEP_S, self._sweep)
        return connection

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def drain(self) -> None:
        """Answer what is in hand, take nothing new, and return once every connection is closed."""
        self._site.is_closing = True
        for connection in list(self._connections):
            if connection.is_idle():
                connection.close()
        if self._connections:
            self._drained = Deferred()
            await self._drained
        self._site.access.flush()

    def abort(self) -> None:
        """End every connection at once."""
        for connection in list(self._connections):
            connection.abort()
        self._site.access.flush()

    def _lost(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def _sweep(self) -> None:
        now = self._clock.seconds()
        for connection in [one for one in self._connections if one.deadline <= now]:
            connection.expire()
        self._is_sweeping = bool(self._connections)
        if self._is_sweeping:
            self._clock.call_later(SWEEP_S, self._sweep)
