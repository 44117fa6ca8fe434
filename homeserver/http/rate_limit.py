"""How often somebody may ask: a generic cell rate algorithm per (class, key).

One number is kept for each key: the time at which its bucket will be full again. A bucket that is full
already is as good as none, so memory is bounded by forgetting those, and by forgetting the ones nearest to
full when there are more keys than `max_keys`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

import structlog

from homeserver.errors import LimitExceeded, RemoteError
from homeserver.runtime.clock import Clock

_log = structlog.get_logger(__name__)


class Rate(Protocol):
    """So many requests a second in the long run, and so many at once; none a second is without limit."""

    @property
    def per_second(self) -> float: ...

    @property
    def burst_count(self) -> int: ...


class RateLimiter(Protocol):
    """What the router asks before it serves. A shared limiter (Redis) answers with an awaitable."""

    def check(self, name: str, key: str) -> Awaitable[None] | None:
        """Count one request.

        Raises:
            LimitExceeded: there were too many.
        """


class Unlimited:
    """Lets everybody pass."""

    def check(self, name: str, key: str) -> None:
        """Never refuse."""


class MemoryRateLimiter:
    """Rate limits of this process. Classes without a rate are limited as `others` says, or not at all."""

    def __init__(
        self, clock: Clock, rates: Mapping[str, Rate], *, others: Rate | None = None, max_keys: int = 100_000
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        # The time that one request costs, and how far ahead of now a bucket may be before requests are
        # refused.
        self._costs = {name: _cost(rate) for name, rate in rates.items()}
        self._other_cost = None if others is None else _cost(others)
        self._full_at: dict[tuple[str, str], float] = {}

    def check(self, name: str, key: str) -> None:
        """Count one request.

        Raises:
            LimitExceeded: there were too many; it is not counted.
        """
        cost = self._costs.get(name, self._other_cost)
        if cost is None:
            return
        interval, capacity = cost
        now = self._clock.seconds()
        full_at = max(self._full_at.get((name, key), 0.0), now) + interval
        # A billionth of slack, since the sums of intervals are floats.
        wait = full_at - now - capacity
        if wait > 1e-9:
            raise LimitExceeded(f"too many requests ({name})", retry_after_ms=int(wait * 1000) + 1)
        self._full_at[name, key] = full_at
        if len(self._full_at) > self._max_keys:
            self._forget(now)

    def _forget(self, now: float) -> None:
        kept = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(kept) > self._max_keys // 2:
            fullest_last = sorted(kept, key=kept.__getitem__, reverse=True)
            kept = {key: kept[key] for key in fullest_last[: self._max_keys // 2]}
        self._full_at = kept


def _cost(rate: Rate) -> tuple[float, float] | None:
    if rate.per_second <= 0:
        return None
    return 1.0 / rate.per_second, rate.burst_count / rate.per_second


class SharedCounts(Protocol):
    """Counts that several processes share."""

    async def count(self, key: str, interval_us: int, capacity_us: int) -> int:
        """Count a request; how long to wait, in microseconds, if there is no room for it.

        Raises:
            RemoteError: nobody can count.
        """


class SharedRateLimiter:
    """Rate limits of all processes together; while they cannot be counted together, each process counts for itself."""

    def __init__(
        self, counts: SharedCounts, alone: MemoryRateLimiter, rates: Mapping[str, Rate], others: Rate | None
    ) -> None:
        self._counts = counts
        self._alone = alone
        self._costs = {name: _cost(rate) for name, rate in rates.items()}
        self._other_cost = None if others is None else _cost(others)
        self._is_alone = False

    def check(self, name: str, key: str) -> Awaitable[None] | None:
        """Count one request; see `RateLimiter`."""
        cost = self._costs.get(name, self._other_cost)
        return None if cost is None else self._check(name, key, *cost)

    async def _check(self, name: str, key: str, interval: float, capacity: float) -> None:
        try:
            wait_us = await self._counts.count(f"{name}:{key}", int(interval * 1e6), int(capacity * 1e6))
        except RemoteError as error:
            if not self._is_alone:
                self._is_alone = True
                _log.warning("requests are counted by this process alone", reason=str(error))
            self._alone.check(name, key)
            return
        self._is_alone = False
        if wait_us > 0:
            raise LimitExceeded(f"too many requests ({name})", retry_after_ms=wait_us // 1000 + 1)
