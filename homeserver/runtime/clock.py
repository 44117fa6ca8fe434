"""The time, from whichever reactor drives this process: the real one, or in tests a virtual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from twisted.internet.defer import Deferred

P = ParamSpec("P")


class Timer(Protocol):
    """A call that is still to come (Twisted's IDelayedCall, as far as it is used)."""

    def cancel(self) -> None: ...

    def active(self) -> bool: ...


class Clock:
    """Wall-clock time, monotonic time and timers.

    `epoch_s` is the wall-clock time at which the reactor's `seconds()` was zero. The real reactor counts from
    the Unix epoch already; a virtual clock starts at zero, so tests place it wherever they like.
    """

    __slots__ = ("_epoch_s", "_reactor", "seconds")

    seconds: Callable[[], float]
    """Seconds that pass at the pace of the timers; only differences mean anything."""

    def __init__(self, reactor: Any, *, epoch_s: float = 0.0) -> None:
        # An IReactorTime; Twisted's interfaces are zope's, whose methods mypy takes for functions.
        self._reactor = reactor
        self._epoch_s = epoch_s
        self.seconds = reactor.seconds

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return int((self.seconds() + self._epoch_s) * 1000)

    def call_later(self, delay_s: float, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Timer:
        """Call `fn` on the reactor thread once `delay_s` seconds have passed."""
        return cast(Timer, self._reactor.callLater(delay_s, fn, *args, **kwargs))

    async def sleep(self, delay_s: float) -> None:
        """Let `delay_s` seconds pass; a cancelled sleeper leaves no timer behind."""
        waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.call_later(delay_s, waiting.callback, None)
        await waiting
