"""Something to wait on: whoever waits goes on when it rings, or when the time is up."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock


class Bell:
    """Rung while nobody waits, it is heard by the next who does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: Deferred[bool] | None = None
        self._has_rung = False

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._has_rung = True
        else:
            waiting.callback(True)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it rings; False if it did not within `seconds`. One waits at a time."""
        if self._has_rung:
            self._has_rung = False
            return True
        waiting: Deferred[bool] = Deferred(self._cancelled)
        self._waiting = waiting
        timer = None if seconds is None else self._clock.call_later(seconds, self._expire, waiting)
        try:
            return await waiting
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _expire(self, waiting: Deferred[bool]) -> None:
        if self._waiting is waiting:
            self._waiting = None
            waiting.callback(False)

    def _cancelled(self, waiting: Deferred[bool]) -> None:
        if self._waiting is waiting:
            self._waiting = None
