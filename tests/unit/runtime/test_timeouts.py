"""Waits that share their timers."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock as VirtualClock

from homeserver.runtime.clock import Clock
from homeserver.runtime.timeouts import GRAIN_S, Timeouts


def pass_until(virtual: VirtualClock, until: float) -> None:
    """Let time pass as it does, from one timer to the next."""
    timers: list[Any] = list(virtual.getDelayedCalls())
    while timers and timers[0].getTime() <= until:
        virtual.advance(max(0.0, timers[0].getTime() - virtual.seconds()))
        timers = list(virtual.getDelayedCalls())
    virtual.advance(max(0.0, until - virtual.seconds()))


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 60)), min_size=1, max_size=20))
def test_a_wait_ends_in_time_and_never_early(waits: list[tuple[float, float]]) -> None:
    virtual = VirtualClock()
    timeouts = Timeouts(Clock(virtual))
    due: dict[int, float] = {}
    ended: dict[int, float] = {}

    def end(number: int) -> None:
        ended[number] = virtual.seconds()

    for number, (pause, seconds) in enumerate(waits):
        pass_until(virtual, virtual.seconds() + pause)
        due[number] = virtual.seconds() + seconds
        timeouts.after(seconds, partial(end, number))
    pass_until(virtual, 200.0)
    for number, at in due.items():
        assert at - 1e-6 <= ended[number] <= at + GRAIN_S + 1e-6


def test_a_wait_that_is_done_before_is_not_ended() -> None:
    virtual = VirtualClock()
    timeouts = Timeouts(Clock(virtual))
    ended: list[str] = []

    def first() -> None:
        ended.append("first")
        slot.pop(second, None)

    def second() -> None:
        ended.append("second")

    slot = timeouts.after(1, second)
    assert timeouts.after(1, first) is slot
    virtual.advance(1)
    # The one that ended took the other out of the same slot.
    assert ended == ["first"]
    assert virtual.getDelayedCalls() == []


def test_many_waits_share_a_timer() -> None:
    virtual = VirtualClock()
    timeouts = Timeouts(Clock(virtual))
    for _ in range(100):
        timeouts.after(30, object)
    assert len(virtual.getDelayedCalls()) == 1
