"""What one pusher still has to tell, in order; a gateway that fails is tried again, and delays no other pusher."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from twisted.internet.defer import Deferred

from homeserver.errors import RemoteError
from homeserver.ids import UserID
from homeserver.push.badges import Badges
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage.pushers import Progress, PusherRow

FIRST_RETRY_S = 10.0
LAST_RETRY_S = 3600.0
KEPT = 100
"""Events that wait to be pushed; older ones are let go."""
TOO_OLD_MS = 24 * 3600 * 1000
"""What could not be pushed within a day is news no more."""

_log = structlog.get_logger(__name__)


class Channel(Protocol):
    """How a kind of pusher tells."""

    async def push(self, pusher: PusherRow, entry: TimelineEvent | None, badge: int) -> bool:
        """False if the pusher is to be removed.

        Raises:
            RemoteError: it could not be told; try again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivering:
    """What delivering needs, the same for every pusher. `is_news` says whether a user still has to be told."""

    channel: Channel
    badges: Badges
    clock: Clock
    tasks: Tasks
    randomness: Randomness
    is_news: Callable[[UserID, TimelineEvent], Awaitable[bool]]
    jitter_ms: int = 0


@dataclass(slots=True)
class _Waiting:
    """An event to tell of; None stands for the badge alone."""

    entry: TimelineEvent | None
    position: int
    since_ms: int


class Delivery:
    """Tells what waits for one pusher. `gone` is called when it is rejected, `moved` when its place has changed."""

    def __init__(
        self,
        pusher: PusherRow,
        delivering: Delivering,
        gone: Callable[[PusherRow], None],
        moved: Callable[[Delivery], None],
    ) -> None:
        self.pusher = pusher
        self._delivering = delivering
        self._gone = gone
        self._moved = moved
        self._waiting: deque[_Waiting] = deque()
        self._running: Deferred[None] | None = None
        self._badge: int | None = None
        self._last_success_ms = pusher.last_success_ms
        self._failing_since_ms = pusher.failing_since_ms
        self._is_over = False

    @property
    def progress(self) -> Progress:
        """What is to be remembered: it is behind if something waits."""
        place = self._waiting[0].position - 1 if self._waiting else None
        return Progress(self.pusher.key, place, self._last_success_ms, self._failing_since_ms)

    def add(self, entry: TimelineEvent | None, position: int) -> None:
        """Something is to be told."""
        if not self.pusher.enabled or self._is_over:
            return
        if entry is None and self._waiting and self._waiting[-1].entry is None:
            return
        self._waiting.append(_Waiting(entry, position, self._delivering.clock.now_ms()))
        while len(self._waiting) > KEPT:
            self._waiting.popleft()
        self._moved(self)
        if self._running is None:
            work = self._run()
            self._running = self._delivering.tasks.spawn(f"push to {self.pusher.app_id}", work)
            if self._running.called:
                self._running = None

    def stop(self) -> None:
        self._is_over = True
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _run(self) -> None:
        delay_s = FIRST_RETRY_S
        clock = self._delivering.clock
        while self._waiting and not self._is_over:
            first = self._waiting[0]
            try:
                await self._push(first)
            except RemoteError as error:
                self._failing_since_ms = self._failing_since_ms or clock.now_ms()
                self._moved(self)
                _log.info("a pusher failed", app=self.pusher.app_id, reason=str(error), again_in_s=delay_s)
                await clock.sleep(delay_s)
                delay_s = min(2 * delay_s, LAST_RETRY_S)
            else:
                delay_s = FIRST_RETRY_S
                if self._waiting and self._waiting[0] is first:
                    self._waiting.popleft()
                self._moved(self)
        self._running = None

    async def _push(self, waiting: _Waiting) -> None:
        delivering = self._delivering
        user_id = self.pusher.user_id
        if waiting.entry is not None:
            if delivering.clock.now_ms() - waiting.since_ms > TOO_OLD_MS:
                return
            if not await delivering.is_news(user_id, waiting.entry):
                return
        badge = await delivering.badges.of(user_id)
        if waiting.entry is None and badge == self._badge:
            return
        if delivering.jitter_ms:
            await delivering.clock.sleep(delivering.randomness.choice(range(delivering.jitter_ms)) / 1000)
        if not await delivering.channel.push(self.pusher, waiting.entry, badge):
            self._is_over = True
            self._gone(self.pusher)
        self._badge = badge
        self._last_success_ms = delivering.clock.now_ms()
        self._failing_since_ms = None
