"""Rate limits that make callers wait before they refuse them: those of other servers, which take a refusal to heart.

So many requests of one caller are served in a window of time, later ones wait, and only so many may wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

from homeserver.errors import LimitExceeded
from homeserver.http.rate_limit import RateLimiter
from homeserver.runtime.clock import Clock

MAX_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How many requests are served at once in a window (s), how long (s) later ones wait, and how many may."""

    window_s: float
    served: int
    delay_s: float
    waiting: int


class PatientLimiter:
    """Has the callers of some classes wait; all others are another limiter's to count."""

    def __init__(self, clock: Clock, patience: Mapping[str, Patience], others: RateLimiter) -> None:
        self._rooms = {name: WaitingRoom(clock, one) for name, one in patience.items()}
        self._others = others

    def check(self, name: str, key: str) -> Awaitable[None] | None:
        """Count one request; see `RateLimiter`."""
        room = self._rooms.get(name)
        return self._others.check(name, key) if room is None else room.check(key)


@dataclass(slots=True)
class _Caller:
    times: deque[float] = field(default_factory=deque)
    waiting: int = 0


class WaitingRoom:
    """Counts the requests of every caller."""

    def __init__(self, clock: Clock, patience: Patience) -> None:
        self._clock = clock
        self._patience = patience
        self._callers: dict[str, _Caller] = {}

    def check(self, key: str) -> Awaitable[None] | None:
        """Count one request; what is given is to be awaited before it is served.

        Raises:
            LimitExceeded: too many wait already; it is not counted.
        """
        patience, now = self._patience, self._clock.seconds()
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= MAX_CALLERS:
                self._forget(now)
            caller = self._callers[key] = _Caller()
        while caller.times and caller.times[0] <= now - patience.window_s:
            caller.times.popleft()
        if len(caller.times) < patience.served:
            caller.times.append(now)
            return None
        if caller.waiting >= patience.waiting:
            raise LimitExceeded(
                "too many requests of this server wait", retry_after_ms=int(patience.delay_s * 1000) + 1
            )
        return self._wait(caller)

    async def _wait(self, caller: _Caller) -> None:
        caller.waiting += 1
        try:
            await self._clock.sleep(self._patience.delay_s)
        finally:
            caller.waiting -= 1

    def _forget(self, now: float) -> None:
        since = now - self._patience.window_s
        self._callers = {
            key: caller
            for key, caller in self._callers.items()
            if caller.waiting or (caller.times and caller.times[-1] > since)
        }
