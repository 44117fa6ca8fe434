"""What is counted, for Prometheus to fetch: declared where it is counted, kept in one registry a server.

`prometheus_client` takes a lock for each increment; on paths that are walked thousands of times a second a
`Tally` is counted instead, which is one addition on the reactor thread and is read only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The buckets of durations."""


class Tally:
    """A count that only the reactor thread moves."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, count: int = 1) -> None:
        self.value += count


class Metrics:
    """The metrics of one server; two servers in one process have two."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tallies = _Tallies()
        self.registry.register(self._tallies)

    def tally(self, name: str, doc: str, **labels: str) -> Tally:
        """A cheap counter under `name` with fixed labels; asking again gives the same one."""
        return self._tallies.tally(name, doc, labels)

    def gauge_of(self, name: str, doc: str, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody asks."""
        self._tallies.gauges[name] = (doc, read)

    def counter(self, name: str, doc: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(name, doc, tuple(labels), registry=self.registry)

    def gauge(self, name: str, doc: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(name, doc, tuple(labels), registry=self.registry)

    def histogram(
        self, name: str, doc: str, labels: Iterable[str] = (), *, buckets: tuple[float, ...] = SECONDS
    ) -> Histogram:
        return Histogram(name, doc, tuple(labels), buckets=buckets, registry=self.registry)

    def exposition(self) -> bytes:
        """Everything, in the Prometheus text format."""
        return generate_latest(self.registry)


class _Tallies(Collector):
    """Shows the tallies and the gauges that are read on demand."""

    def __init__(self) -> None:
        self._docs: dict[str, str] = {}
        self._tallies: dict[str, dict[tuple[tuple[str, str], ...], Tally]] = {}
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def tally(self, name: str, doc: str, labels: dict[str, str]) -> Tally:
        self._docs.setdefault(name, doc)
        return self._tallies.setdefault(name, {}).setdefault(tuple(sorted(labels.items())), Tally())

    def collect(self) -> Iterable[Metric]:
        for name, children in self._tallies.items():
            label_names = [label for label, _ in next(iter(children))]
            family = CounterMetricFamily(name, self._docs[name], labels=label_names)
            for labels, tally in children.items():
                family.add_metric([value for _, value in labels], tally.value)
            yield family
        for name, (doc, read) in self.gauges.items():
            yield GaugeMetricFamily(name, doc, value=read())
