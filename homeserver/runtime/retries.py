"""Trying again what did not work, each time after a longer wait, until it does or is given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks

K = TypeVar("K", bound=Hashable)


class Retries(Generic[K]):
    """Keeps one timer for each thing; `attempt` says whether the thing is done with."""

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        attempt: Callable[[K], Awaitable[bool]],
        *,
        what: str,
        first_wait_ms: int,
        longest_wait_ms: int,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._attempt = attempt
        self._what = what
        self._first_wait_ms = first_wait_ms
        self._longest_wait_ms = longest_wait_ms
        self._timers: dict[K, Timer] = {}
        self._is_stopped = False

    def __contains__(self, key: K) -> bool:
        return key in self._timers

    def plan(self, key: K) -> None:
        """Try in a while; one that is planned already stays as it is."""
        if key not in self._timers:
            self._wait(key, self._first_wait_ms)

    def stop(self) -> None:
        """Try nothing any more."""
        self._is_stopped = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _wait(self, key: K, wait_ms: int) -> None:
        if not self._is_stopped:
            self._timers[key] = self._clock.call_later(wait_ms / 1000, self._begin, key, wait_ms)

    def _begin(self, key: K, wait_ms: int) -> None:
        self._tasks.spawn(f"{self._what} {key}", self._try(key, wait_ms))

    async def _try(self, key: K, wait_ms: int) -> None:
        is_done = True
        try:
            is_done = await self._attempt(key)
        finally:
            self._timers.pop(key, None)
        if not is_done:
            self._wait(key, min(2 * wait_ms, self._longest_wait_ms))
