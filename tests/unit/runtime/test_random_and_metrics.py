"""Randomness that can be replayed, and counts that can be fetched."""

from __future__ import annotations

import re

import pytest

from homeserver.runtime.metrics import Metrics
from homeserver.runtime.random import Randomness, SeededRandomness


@pytest.mark.parametrize("source", [Randomness(), SeededRandomness(1)])
def test_what_both_sources_give(source: Randomness) -> None:
    assert len(source.bytes(7)) == 7
    token = source.token(32)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token != source.token(32)
    assert source.choice("abc") in "abc"
    assert {source.below(2) for _ in range(100)} == {0, 1}
    assert all(1.0 <= source.uniform(1.0, 2.0) < 2.0 for _ in range(100))


def test_a_seed_gives_the_same_again() -> None:
    def values(seed: int) -> list[object]:
        source = SeededRandomness(seed)
        return [source.token(8), source.choice(range(1000)), source.bytes(4), source.uniform(0, 1)]

    assert values(1) == values(1)
    assert values(1) != values(2)


def test_the_exposition_has_everything() -> None:
    metrics = Metrics()
    sends = metrics.tally("hearth_sends", "Events sent.", kind="message")
    sends.add()
    sends.add(2)
    assert metrics.tally("hearth_sends", "Events sent.", kind="message") is sends
    metrics.tally("hearth_sends", "Events sent.", kind="state").add()
    metrics.gauge_of("hearth_waiting", "Clients that wait.", lambda: 7)
    metrics.counter("hearth_errors", "Errors.", ["code"]).labels("M_FORBIDDEN").inc()
    metrics.histogram("hearth_seconds", "Durations.").observe(0.2)
    metrics.gauge("hearth_rooms", "Rooms.").set(3)
    text = metrics.exposition().decode()
    for line in (
        'hearth_sends_total{kind="message"} 3.0',
        'hearth_sends_total{kind="state"} 1.0',
        "hearth_waiting 7.0",
        'hearth_errors_total{code="M_FORBIDDEN"} 1.0',
        'hearth_seconds_bucket{le="0.25"} 1.0',
        "hearth_rooms 3.0",
    ):
        assert line in text.splitlines()


def test_two_servers_have_metrics_of_their_own() -> None:
    one, other = Metrics(), Metrics()
    one.counter("hearth_errors", "Errors.").inc()
    other.counter("hearth_errors", "Errors.")
    assert "hearth_errors_total 0.0" in other.exposition().decode()
