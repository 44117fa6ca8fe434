"""The clock, over a virtual reactor and over the real one."""

from __future__ import annotations

import time

import pytest
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock as VirtualClock

from homeserver.runtime.clock import Clock


def test_a_virtual_clock_counts_from_wherever_the_test_likes() -> None:
    virtual = VirtualClock()
    clock = Clock(virtual, epoch_s=1_700_000_000)
    assert clock.now_ms() == 1_700_000_000_000
    virtual.advance(1.5)
    assert clock.now_ms() == 1_700_000_001_500
    assert clock.seconds() == 1.5


def test_the_real_one_tells_the_time() -> None:
    assert abs(Clock(real_reactor).now_ms() - time.time() * 1000) < 60_000


def test_timers() -> None:
    virtual = VirtualClock()
    clock = Clock(virtual)
    calls: list[str] = []
    clock.call_later(1, calls.append, "a")
    cancelled = clock.call_later(2, calls.append, "b")
    virtual.advance(1)
    cancelled.cancel()
    virtual.advance(5)
    assert calls == ["a"]


async def test_sleeping_takes_time(clock: Clock) -> None:
    before = clock.now_ms()
    await clock.sleep(3600)
    assert clock.now_ms() - before == 3_600_000


def test_a_cancelled_sleeper_leaves_no_timer() -> None:
    virtual = VirtualClock()
    sleeping = Deferred.fromCoroutine(Clock(virtual).sleep(10))
    sleeping.cancel()
    assert virtual.getDelayedCalls() == []
    failures: list[object] = []
    sleeping.addErrback(failures.append)
    assert len(failures) == 1
    with pytest.raises(CancelledError):
        failures[0].raiseException()  # type: ignore[attr-defined]  # a Failure
