"""Rate limits."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from homeserver.errors import LimitExceeded
from homeserver.http.patience import MAX_CALLERS, Patience, PatientLimiter, WaitingRoom
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


def test_the_patient_wait_before_they_are_refused(clock: Clock, reactor: VirtualReactor) -> None:
    patience = Patience(window_s=1, served=2, delay_s=0.5, waiting=3)
    limiter = PatientLimiter(clock, {"x": patience}, MemoryRateLimiter(clock, {"y": Rate(1.0, 1)}))
    admitted: list[float] = []
    refused: list[LimitExceeded] = []

    async def ask(key: str) -> None:
        try:
            pending = limiter.check("x", key)
        except LimitExceeded as refusal:
            refused.append(refusal)
            return
        if pending is not None:
            await pending
        admitted.append(clock.seconds() - began)

    began = clock.seconds()
    for _ in range(7):
        Deferred.fromCoroutine(ask("a"))
    assert admitted == [0, 0]
    assert [refusal.retry_after_ms for refusal in refused] == [501, 501]
    # Others have their own place in the queue.
    Deferred.fromCoroutine(ask("b"))
    assert admitted == [0, 0, 0]
    reactor.advance(0.5)
    assert admitted == [0, 0, 0, 0.5, 0.5, 0.5]
    reactor.advance(0.6)
    Deferred.fromCoroutine(ask("a"))
    assert admitted[6:] == [1.1]
    # Classes without patience are counted as before.
    limiter.check("y", "a")
    with pytest.raises(LimitExceeded):
        limiter.check("y", "a")


def test_callers_who_ask_no_more_are_forgotten(clock: Clock, reactor: VirtualReactor) -> None:
    room = WaitingRoom(clock, Patience(window_s=1, served=1, delay_s=1, waiting=1))
    for number in range(MAX_CALLERS):
        room.check(str(number))
    reactor.advance(2)
    room.check("one more")
    assert len(room._callers) == 1
