"""Rate limits."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import LimitExceeded
from homeserver.http.rate_limit import MemoryRateLimiter
from homeserver.runtime.clock import Clock
from tests.fixtures.reactor import VirtualReactor


class Rate(NamedTuple):
    per_second: float
    burst_count: int


def passes(limiter: MemoryRateLimiter, key: str = "a", name: str = "x") -> bool:
    try:
        limiter.check(name, key)
    except LimitExceeded:
        return False
    return True


@pytest.fixture
def limiter(clock: Clock) -> MemoryRateLimiter:
    return MemoryRateLimiter(clock, {"x": Rate(2.0, 3), "free": Rate(0.0, 1)}, max_keys=100)


def test_a_burst_passes_and_then_the_rate(limiter: MemoryRateLimiter, reactor: VirtualReactor) -> None:
    assert [passes(limiter) for _ in range(5)] == [True, True, True, False, False]
    reactor.advance(0.5)
    assert [passes(limiter) for _ in range(2)] == [True, False]
    reactor.advance(60)
    assert [passes(limiter) for _ in range(4)] == [True, True, True, False]


def test_the_refusal_says_when_to_come_back(limiter: MemoryRateLimiter, reactor: VirtualReactor) -> None:
    for _ in range(3):
        limiter.check("x", "a")
    with pytest.raises(LimitExceeded) as refused:
        limiter.check("x", "a")
    assert 500 <= refused.value.retry_after_ms <= 502
    reactor.advance(refused.value.retry_after_ms / 1000)
    limiter.check("x", "a")


def test_keys_and_classes_are_counted_apart(limiter: MemoryRateLimiter) -> None:
    assert [passes(limiter, key) for key in "aaab"] == [True, True, True, True]
    assert all(passes(limiter, name=name) for name in ("free", "unknown") for _ in range(50))


def test_memory_is_bounded(limiter: MemoryRateLimiter) -> None:
    for _ in range(3):
        limiter.check("x", "greedy")
    for number in range(1000):
        limiter.check("x", str(number))
        assert len(limiter._full_at) <= 100
    assert not passes(limiter, "greedy")


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.sampled_from([0.5, 1.0, 3.0]))
def test_never_more_than_burst_and_rate_allow(pauses: list[float], burst: int, per_second: float) -> None:
    reactor = VirtualReactor()
    limiter = MemoryRateLimiter(Clock(reactor), {"x": Rate(per_second, burst)})
    passed: list[float] = []
    for pause in pauses:
        reactor.advance(pause)
        if passes(limiter):
            passed.append(reactor.seconds())
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = burst + (passed[last] - passed[first]) * per_second
            assert last - first + 1 <= allowed + 1e-6
