"""`/sync` as a long-poll: answer at once if there is news, else wait for some until the timeout.

Spec: https://spec.matrix.org/v1.19/client-server-api/#syncing
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.clock import Clock
from homeserver.runtime.timeouts import Timeouts
from homeserver.sync.answer import Answer
from homeserver.sync.clients import Watch
from homeserver.sync.feeds import Feed, Feeds
from homeserver.sync.request import SyncRequest

MAX_TIMEOUT_MS = 10 * 60 * 1000


class Composes(Protocol):
    """Makes answers: `/sync` bodies, or the IM API's updates."""

    def now(self) -> StreamToken: ...

    def has_news(self, feed: Feed, since: StreamToken) -> bool:
        """Whether there may be anything to say; False is certain."""
        ...

    async def nothing(self, request: SyncRequest) -> Answer:
        """The answer to a client that is caught up."""
        ...

    async def compose(self, feed: Feed, request: SyncRequest) -> Answer:
        """Everything since `request.since`."""
        ...


class Waiting(Deferred[None]):
    """One poll that waits for its feed to move."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self.is_over = False
        """Whether there is no reason to look: the time is up, or nobody listens."""

    def stop(self) -> None:
        if self in self._feed.waiting:
            self.is_over = True
            self._feed.waiting.remove(self)
            self.callback(None)


class LongPolls:
    """Serves polls; a poll with nothing new costs a look at the user's feed."""

    def __init__(self, feeds: Feeds, composer: Composes, clock: Clock) -> None:
        self._feeds = feeds
        self._composer = composer
        self._clock = clock
        self._timeouts = Timeouts(clock)
        self.is_stopping = False

    def stop(self) -> None:
        """Answer every poll with what there is, and let none wait from now on."""
        self.is_stopping = True
        self._feeds.wake_all()

    async def poll(
        self,
        request: SyncRequest,
        timeout_ms: int,
        on_disconnect: Callable[[Callable[[], None]], None] | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        """The next answer for the device.

        Raises:
            UnknownToken: the session ended while the poll waited.
        """
        feed = self._feeds.find(request.user_id) or await self._feeds.open(request.user_id)
        composer = self._composer
        since = request.since
        if since is None or request.full_state:
            return await composer.compose(feed, request)
        # The ephemeral counter starts anew with the process: an older token's place in it means nothing.
        now = composer.now()
        if since.ephemeral > now.ephemeral:
            since = since._replace(ephemeral=0)
            request = msgspec.structs.replace(request, since=since)
        deadline = self._clock.seconds() + min(max(timeout_ms, 0), MAX_TIMEOUT_MS) / 1000
        while True:
            if composer.has_news(feed, since):
                answer = await composer.compose(feed, request)
                if not answer.is_empty:
                    return answer
                since = answer.token
            left = deadline - self._clock.seconds()
            if timeout_ms <= 0 or left <= 0 or self.is_stopping:
                return await composer.nothing(request)
            is_over = await self._wait(feed, left, on_disconnect)
            if watch is not None:
                watch.check()
            if is_over:
                return await composer.nothing(request)

    def patience(
        self,
        feed: Feed,
        timeout_ms: int,
        on_disconnect: Callable[[Callable[[], None]], None] | None,
        watch: Watch | None,
    ) -> Callable[[], Awaitable[bool]]:
        """What waits, again and again, for the feed to move; it answers False once the time is up."""
        deadline = self._clock.seconds() + min(timeout_ms, MAX_TIMEOUT_MS) / 1000

        async def wait() -> bool:
            left = deadline - self._clock.seconds()
            if left <= 0 or self.is_stopping:
                return False
            is_over = await self._wait(feed, left, on_disconnect)
            if watch is not None:
                watch.check()
            return not is_over

        return wait

    async def _wait(
        self, feed: Feed, seconds: float, on_disconnect: Callable[[Callable[[], None]], None] | None
    ) -> bool:
        """Wait for the feed to move; whether there is no reason to look."""
        waiting = Waiting(feed)
        feed.waiting.append(waiting)
        stop = waiting.stop
        slot = self._timeouts.after(seconds, stop)
        if on_disconnect is not None:
            on_disconnect(stop)
        await waiting
        slot.pop(stop, None)
        return waiting.is_over
