"""`/events`, the old way to follow: new events of the user's rooms, or of one room, as one list.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred

from homeserver.http.requester import Requester
from homeserver.ids import RoomID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History
from homeserver.rooms.registry import Rooms
from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.sync.clients import Watch
from homeserver.sync.feeds import Feeds
from homeserver.sync.own_data import StoredOwnData

MAX_TIMEOUT_MS = 10 * 60 * 1000
MAX_EVENTS = 500
OnDisconnect = Callable[[Callable[[], None]], None]


class NewEvents:
    """Reads what is new in rooms, as a user may see it."""

    def __init__(
        self, rooms: Rooms, access: RoomAccess, history: History, bundles: Bundles, own: StoredOwnData
    ) -> None:
        self._rooms = rooms
        self._access = access
        self._history = history
        self._bundles = bundles
        self._own = own

    async def check_may_peek(self, room_id: RoomID, who: Requester) -> None:
        """
        Raises:
            Forbidden: the room is not open to the user.
        """
        await self._access.sight(room_id, who.user_id)

    async def between(
        self, who: Requester, after: int, until: int, room_ids: Iterable[RoomID]
    ) -> list[bytes]:
        """The events of the rooms in (after, until], in the order of their arrival."""
        ignored = await self._own.load_ignored(who.user_id)
        found: list[tuple[int, bytes]] = []
        for each in room_ids:
            room = await self._rooms.load(each)
            page = await self._history.forwards(
                room, who.user_id, start=after, until=until, limit=MAX_EVENTS, ignored=ignored
            )
            found += zip(
                (event.position for event in page.events),
                await self._bundles.json(room, page.events, who.user_id, who.device_id),
                strict=True,
            )
        found.sort(key=lambda pair: pair[0])
        return [event for _, event in found]


class EventStream:
    """Answers polls of old clients."""

    def __init__(self, feeds: Feeds, events: NewEvents, notifier: Notifier, clock: Clock) -> None:
        self._feeds = feeds
        self._events = events
        self._notifier = notifier
        self._clock = clock

    async def poll(
        self,
        who: Requester,
        since: StreamToken | None,
        timeout_ms: int,
        watch: Watch,
        on_disconnect: OnDisconnect,
        room_id: RoomID | None = None,
    ) -> bytes:
        """What came after `since` (None: after now), once there is any or the time is up.

        Raises:
            Forbidden: the user may not look into the room.
        """
        if room_id is not None:
            await self._events.check_may_peek(room_id, who)
        start = since or StreamToken(self._notifier.position, self._notifier.ephemeral)
        deadline = self._clock.seconds() + min(max(timeout_ms, 0), MAX_TIMEOUT_MS) / 1000
        while True:
            until = self._notifier.position
            rooms = await self._moved_rooms(who, start.position) if room_id is None else [room_id]
            events = await self._events.between(who, start.position, until, rooms)
            left = deadline - self._clock.seconds()
            if events or left <= 0 or not await self._anything(until, left, on_disconnect):
                break
            watch.check()
        watch.check()
        end = StreamToken(max(until, start.position), self._notifier.ephemeral)
        return b'{"start":"%b","end":"%b","chunk":[%b]}' % (
            str(start).encode(),
            str(end).encode(),
            b",".join(events),
        )

    async def _anything(self, position: int, seconds: float, on_disconnect: OnDisconnect) -> bool:
        """Wait for anything at all to happen; False if the time is up or nobody listens any more."""
        waiting = Deferred.fromCoroutine(self._notifier.wait_past(position))
        timer = self._clock.call_later(seconds, waiting.cancel)
        on_disconnect(waiting.cancel)
        over = False

        def stopped(_failure: object) -> None:
            nonlocal over
            over = True

        waiting.addErrback(stopped)
        await waiting
        if timer.active():
            timer.cancel()
        return not over

    async def _moved_rooms(self, who: Requester, after: int) -> list[RoomID]:
        feed = await self._feeds.open(who.user_id)
        return [room for room, view in feed.rooms.items() if view.membership == "join" and view.moved > after]
