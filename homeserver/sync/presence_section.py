"""Who hears of whose presence, and the `presence` section of `/sync`.

People see the presence of those with whom they share a direct chat or a small group: in large rooms it would cost
more than all messages together, and tell strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from homeserver.ids import UserID
from homeserver.presence.presence import Presence
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.sync.composer import Extra
from homeserver.sync.feeds import Feed, Feeds
from homeserver.sync.request import SyncRequest
from storage import membership
from storage.database import Database

SMALL_ROOM_MEMBERS = 50
_NOTHING = Extra((), is_news=False)


class PresenceAudience:
    """Knows who may see whom, and keeps for every follower whose presence has changed."""

    def __init__(self, db: Database, rooms: Rooms, feeds: Feeds, notifier: Notifier) -> None:
        self._db = db
        self._rooms = rooms
        self._feeds = feeds
        notifier.subscribe_ephemeral(self._on_ephemeral)

    async def may_see(self, viewer: UserID, user_id: UserID) -> bool:
        """Whether the two share a room."""
        return bool(await self._db.read(membership.rooms_shared, viewer, user_id))

    def watchers_of(self, user_id: UserID) -> set[UserID]:
        """The local users who see the user's presence, as far as their rooms are live."""
        watchers: set[UserID] = {user_id}
        self._each_room(user_id, lambda room: watchers.update(room.local_joined))
        return watchers

    def _each_room(self, user_id: UserID, visit: Callable[[LiveRoom], None]) -> None:
        feed = self._feeds.find(user_id)

        def visit_small(room: LiveRoom) -> None:
            if len(room.joined) <= SMALL_ROOM_MEMBERS and room.is_joined(user_id):
                visit(room)

        if feed is None:
            self._rooms.each(visit_small)
            return
        for room_id in feed.joined_rooms():
            room = self._rooms.find(room_id)
            if room is not None:
                visit_small(room)

    def _on_ephemeral(self, kind: str, room_id: str | None, user_id: str | None, position: int) -> None:
        if kind != "presence" or user_id is None:
            return
        changed = UserID(user_id)
        for watcher in self.watchers_of(changed):
            feed = self._feeds.find(watcher)
            if feed is not None:
                feed.presence[changed] = position
                feed.ephemeral = position
                if feed.waiting:
                    feed.wake()


class PresenceSection:
    """Shows the changes since a token; to whoever looks first, all who are there."""

    def __init__(self, presence: Presence, rooms: Rooms, clock: Clock) -> None:
        self._presence = presence
        self._rooms = rooms
        self._clock = clock

    async def standing(self, request: SyncRequest) -> Sequence[bytes]:
        return ()

    async def sections(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra:
        return self.ready(feed, request, until)

    def ready(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra:
        if not self._presence.enabled:
            return _NOTHING
        since = request.since
        if since is None:
            users = self._watched_by(feed)
        else:
            users = {user for user, position in feed.presence.items() if position > since.ephemeral}
            if not users:
                return _NOTHING
        wanted = request.filter.presence
        now_ms = self._clock.now_ms()
        events: list[bytes] = []
        for user in users:
            state = self._presence.find(user)
            if state is None or not (wanted.includes_type("m.presence") and wanted.includes_sender(user)):
                continue
            if since is None and state.presence == "offline" and user != feed.user_id:
                continue
            events.append(msgspec.json.encode(state.event(user, now_ms)))
        if not events:
            return _NOTHING
        return Extra([b'"presence":{"events":[%b]}' % b",".join(events)], is_news=True)

    def _watched_by(self, feed: Feed) -> set[UserID]:
        """Whose presence the follower sees, as far as their rooms are live."""
        watched: set[UserID] = {feed.user_id}
        for room_id in feed.joined_rooms():
            room = self._rooms.find(room_id)
            if room is not None and len(room.joined) <= SMALL_ROOM_MEMBERS:
                watched |= room.joined
        return watched
