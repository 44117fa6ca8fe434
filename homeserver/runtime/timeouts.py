"""Ends many waits with few timers: nearly every wait is over before its time, and a timer for each costs more than it.

Waits that end within the same tenth of a second share one timer, and so end up to a tenth late, never early.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from homeserver.runtime.clock import Clock

GRAIN_S = 0.1

_Slot = dict[Callable[[], object], None]


class Timeouts:
    """Calls back when the time of a wait is up."""

    __slots__ = ("_clock", "_slots")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, _Slot] = {}

    def after(self, seconds: float, call: Callable[[], object]) -> _Slot:
        """Call once `seconds` have passed; whoever is done before removes its call from what is returned."""
        now = self._clock.seconds()
        # What floating point makes of a whole number of grains must not cost another one.
        grain = ceil((now + seconds) / GRAIN_S - 1e-6)
        slot = self._slots.get(grain)
        if slot is None:
            slot = self._slots[grain] = {}
            self._clock.call_later(max(grain * GRAIN_S - now, 0.0), self._expire, grain)
        slot[call] = None
        return slot

    def _expire(self, grain: int) -> None:
        slot = self._slots.pop(grain)
        while slot:
            slot.popitem()[0]()
