"""What those ask who watch over the server: is it alive, and how is it?"""

from __future__ import annotations

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.responses import Response
from homeserver.runtime.metrics import Metrics


class HealthEndpoints:
    """Says that the server answers."""

    @endpoint("GET", "/health", auth=Auth.NONE)
    async def get_health(self) -> Response:
        """OK, as load balancers like it."""
        return Response(200, b"OK", {"Content-Type": "text/plain"})


class MetricsEndpoints:
    """Shows the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @endpoint("GET", "/_synapse/metrics", auth=Auth.NONE, aliases=("/metrics",))
    async def get_metrics(self) -> Response:
        """Everything that is counted, in the Prometheus text format."""
        return Response(
            200, self._metrics.exposition(), {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
