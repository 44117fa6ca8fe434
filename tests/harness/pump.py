"""Runs a coroutine to its end in virtual time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as VirtualClock
from twisted.python.failure import Failure

T = TypeVar("T")

LIMIT_S = 6 * 3600.0


class Stuck(AssertionError):
    """The coroutine waits for something that will not come."""


def pump(clock: VirtualClock, coroutine: Coroutine[Deferred[Any], Any, T], *, limit_s: float = LIMIT_S) -> T:
    """Advance `clock` from one timer to the next until the coroutine ends; its result or exception is ours.

    Raises:
        Stuck: no timer is left, or `limit_s` of virtual time have passed.
    """
    results: list[Any] = []
    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addBoth(results.append)
    ends = clock.seconds() + limit_s
    while not results:
        timers = clock.getDelayedCalls()
        if not timers:
            deferred.cancel()
            raise Stuck("the test waits, and no timer is left that could wake it")
        if clock.seconds() > ends:
            deferred.cancel()
            raise Stuck(f"the test still waits after {limit_s:.0f} s of virtual time")
        clock.advance(max(0.0, min(timer.getTime() for timer in timers) - clock.seconds()))
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[no-any-return]  # addBoth forgets what the coroutine returns
