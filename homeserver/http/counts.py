"""What is counted of requests, for Prometheus."""

from __future__ import annotations

from homeserver.http.request import Request
from homeserver.runtime.metrics import Metrics, Tally


class RequestCounts:
    """How many requests each operation has had, with which status, and how long they took."""

    __slots__ = ("_metrics", "_tallies")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tallies: dict[tuple[str, int], tuple[Tally, Tally]] = {}

    def count(self, request: Request, status: int, took_s: float) -> None:
        """Count one request that is done; status 0 is a client that left before its answer."""
        key = (request.operation, status)
        tallies = self._tallies.get(key)
        if tallies is None:
            tallies = self._tallies[key] = self._made(*key)
        requests, milliseconds = tallies
        requests.value += 1
        milliseconds.value += int(took_s * 1000)

    def _made(self, operation: str, status: int) -> tuple[Tally, Tally]:
        labels = {"operation": operation or "none", "status": str(status)}
        return (
            self._metrics.tally("hearth_http_requests", "Requests that have been answered.", **labels),
            self._metrics.tally(
                "hearth_http_request_milliseconds", "How long requests took to be answered.", **labels
            ),
        )
