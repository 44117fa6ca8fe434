"""How many bytes somebody may make us fetch: a bucket for each, that empties at a steady rate."""

from __future__ import annotations

from homeserver.errors import LimitExceeded
from homeserver.runtime.clock import Clock

_MAX_KEYS = 10_000


class ByteBudget:
    """Counts bytes after they were fetched: the size of what is asked for is not known before."""

    def __init__(self, clock: Clock, *, per_second: int, burst: int) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._empty_at: dict[str, float] = {}

    def check(self, key: str) -> None:
        """Refuse whoever has had their share.

        Raises:
            LimitExceeded: saying when there will be some again.
        """
        if not self._per_second:
            return
        over_s = self._empty_at.get(key, 0.0) - self._clock.seconds() - self._burst / self._per_second
        if over_s >= 0:
            raise LimitExceeded(
                "too much media of other servers at once", retry_after_ms=int(over_s * 1000) + 1000
            )

    def spend(self, key: str, size: int) -> None:
        """Somebody has had so many bytes."""
        if not self._per_second:
            return
        now = self._clock.seconds()
        if len(self._empty_at) >= _MAX_KEYS:
            self._empty_at = {one: at for one, at in self._empty_at.items() if at > now}
        self._empty_at[key] = max(self._empty_at.get(key, 0.0), now) + size / self._per_second
