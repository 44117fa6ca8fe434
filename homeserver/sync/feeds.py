"""A feed is one local user's view of where the log has moved for them, kept while they follow it.

A poll with nothing new is answered from here: `Feed.position` is the last log position that concerns the user, so no
room is looked at and no database is asked. Feeds are told of every committed entry, and wake the polls that wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import feeds as feed_rows
from storage.database import Database

FEEDS_KEPT = 10_000


@dataclass(slots=True)
class RoomView:
    """A room in a user's feed: their membership, since when, and where the room last moved for them."""

    membership: str
    event: int
    sender: UserID
    since: int
    moved: int
    """The last log position of anything in the room that concerns the user."""
    joined_at: int
    """Where the present stay began."""
    last_event: int
    """Where the last event of the room is that the user may know of."""
    previous: str | None = None
    """The membership before this one, as far as it is known."""
    last_stay: tuple[int, int] | None = None
    """Where the stay before the present one began and ended, if that is known."""

    def was_joined_at(self, position: int) -> bool:
        """Whether the user was in the room at a position before the present stay."""
        return self.last_stay is not None and self.last_stay[0] <= position < self.last_stay[1]


class Feed:
    """One user's rooms and the last positions at which each kind of thing changed for them."""

    __slots__ = (
        "account_data",
        "deliveries",
        "device_lists",
        "ephemeral",
        "position",
        "presence",
        "rooms",
        "to_device",
        "user_id",
        "waiting",
    )

    def __init__(self, user_id: UserID, rooms: dict[RoomID, RoomView], position: int) -> None:
        self.user_id = user_id
        self.rooms = rooms
        self.position = position
        self.ephemeral = 0
        self.presence: dict[UserID, int] = {}
        """Whose presence has changed, and where in the ephemeral counter."""
        self.account_data = position
        self.deliveries = position
        self.device_lists = position
        self.to_device = position
        self.waiting: list[Deferred[None]] = []

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)

    def joined_rooms(self) -> list[RoomID]:
        return [room_id for room_id, view in self.rooms.items() if view.membership == "join"]


class Feeds:
    """The feeds of the users who follow the log just now, and those who did so lately."""

    def __init__(self, db: Database, rooms: Rooms, notifier: Notifier, *, server_name: ServerName) -> None:
        self._db = db
        self._rooms = rooms
        self._notifier = notifier
        self._server_name = server_name
        self._feeds: OrderedDict[UserID, Feed] = OrderedDict()
        self._loading: dict[UserID, list[Deferred[Feed]]] = {}
        self._missed: dict[UserID, list[LogEntry]] = {}
        self._by_room: dict[RoomID, set[Feed]] = {}
        notifier.subscribe(self._on_entries)
        notifier.subscribe_ephemeral(self._on_ephemeral)

    async def open(self, user_id: UserID) -> Feed:
        """The user's feed, from memory or from the database."""
        feed = self._feeds.get(user_id)
        if feed is not None:
            self._feeds.move_to_end(user_id)
            return feed
        waiting = self._loading.get(user_id)
        if waiting is not None:
            shared: Deferred[Feed] = Deferred()
            waiting.append(shared)
            return await shared
        self._loading[user_id] = []
        self._missed[user_id] = []
        try:
            rows, position = await self._db.read(feed_rows.load, user_id)
        except BaseException as error:
            del self._missed[user_id]
            for each in self._loading.pop(user_id):
                each.errback(error)
            raise
        feed = self._add(user_id, rows, position)
        # What was announced while the rows were read may or may not be in them; taking it twice does no harm.
        for entry in self._missed.pop(user_id):
            self._take(feed, entry)
        for each in self._loading.pop(user_id):
            each.callback(feed)
        return feed

    def wake_all(self) -> None:
        """Let everybody who waits look, whether there is news or not: the server is stopping."""
        for feed in list(self._feeds.values()):
            if feed.waiting:
                feed.wake()

    def find(self, user_id: str) -> Feed | None:
        return self._feeds.get(UserID(user_id))

    def _add(self, user_id: UserID, rows: list[feed_rows.FeedRoom], position: int) -> Feed:
        views = {
            row.room_id: RoomView(
                row.membership,
                row.event,
                row.sender,
                row.position,
                row.moved,
                row.joined_at,
                row.last_event,
                row.previous,
            )
            for row in rows
        }
        feed = Feed(user_id, views, position)
        self._feeds[user_id] = feed
        for room_id in views:
            self._by_room.setdefault(room_id, set()).add(feed)
        while len(self._feeds) > FEEDS_KEPT:
            for old in list(self._feeds.values())[:100]:
                if not old.waiting:
                    self._remove(old)
                    break
            else:
                break
        return feed

    def _remove(self, feed: Feed) -> None:
        del self._feeds[feed.user_id]
        for room_id in feed.rooms:
            feeds = self._by_room.get(room_id)
            if feeds is not None:
                feeds.discard(feed)
                if not feeds:
                    del self._by_room[room_id]

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        moved: set[Feed] = set()
        for entry in entries:
            for feed in self._concerned(entry):
                if self._take(feed, entry):
                    moved.add(feed)
            for user_id in self._missed:
                self._missed[user_id].append(entry)
        for feed in moved:
            if feed.waiting:
                feed.wake()

    def _concerned(self, entry: LogEntry) -> Sequence[Feed]:
        """The feeds that an entry may concern."""
        kind = entry.kind
        if kind in (LogKind.EVENT, LogKind.ROOM_STATE):
            feeds = self._by_room.get(RoomID(entry.room_id or ""), ())
            target = _member_target(entry)
            if target is not None and domain_of(target) == self._server_name:
                feed = self._feeds.get(target)
                if feed is not None and feed not in feeds:
                    return [*feeds, feed]
            return list(feeds)
        if kind is LogKind.PROFILE:
            return self._in_company_of(UserID(entry.user_id or ""))
        if kind is LogKind.RECEIPT and not entry.ref.startswith("m.read.private"):
            return list(self._by_room.get(RoomID(entry.room_id or ""), ()))
        if kind is LogKind.DEVICE_LIST or kind is LogKind.CROSS_SIGNING:
            # The payload of a device-list change names the local users who share a room with its user.
            users = entry.payload if isinstance(entry.payload, frozenset) else frozenset()
            found = [self._feeds[user] for user in users if user in self._feeds]
            own = self._feeds.get(UserID(entry.user_id or ""))
            return found if own is None or own in found else [*found, own]
        feed = self._feeds.get(UserID(entry.user_id or ""))
        return [] if feed is None else [feed]

    def _in_company_of(self, user_id: UserID) -> list[Feed]:
        """The feeds of the user and of those who are in a room with them."""
        own = self._feeds.get(user_id)
        found = set() if own is None else {own}
        for room_id in list(self._by_room if own is None else own.rooms):
            room = self._rooms.find(room_id)
            if room is not None and room.is_joined(user_id):
                found |= self._by_room.get(room_id, set())
        return list(found)

    def _take(self, feed: Feed, entry: LogEntry) -> bool:
        """Move the feed past the entry; whether it concerns the user."""
        kind, position = entry.kind, entry.position
        room_id = RoomID(entry.room_id) if entry.room_id else None
        if kind is LogKind.EVENT or kind is LogKind.RECEIPT or kind is LogKind.ROOM_STATE:
            if room_id is None:
                return False
            if _member_target(entry) == feed.user_id and isinstance(entry.payload, TimelineEvent):
                self._change_membership(feed, room_id, entry.payload, position)
            view = feed.rooms.get(room_id)
            if view is None or (view.membership != "join" and view.since != position):
                return False
            view.moved = max(view.moved, position)
            if kind is LogKind.EVENT:
                view.last_event = max(view.last_event, position)
        elif kind is LogKind.DEVICE_LIST or kind is LogKind.CROSS_SIGNING:
            feed.device_lists = max(feed.device_lists, position)
        elif kind is LogKind.PROFILE:
            # Nothing of `/sync` tells of it; whoever slides may have asked for profiles.
            pass
        elif entry.user_id != feed.user_id:
            return False
        elif kind is LogKind.TO_DEVICE:
            feed.to_device = max(feed.to_device, position)
        elif kind is LogKind.ROOM_ACCOUNT_DATA or kind is LogKind.VISIBILITY:
            feed.account_data = max(feed.account_data, position)
            if room_id is not None and room_id in feed.rooms:
                feed.rooms[room_id].moved = max(feed.rooms[room_id].moved, position)
        elif kind is LogKind.DELIVERY:
            feed.deliveries = max(feed.deliveries, position)
        elif kind is LogKind.ACCOUNT_DATA or kind is LogKind.PUSH_RULES:
            feed.account_data = max(feed.account_data, position)
        feed.position = max(feed.position, position)
        return True

    def _change_membership(self, feed: Feed, room_id: RoomID, entry: TimelineEvent, position: int) -> None:
        event = entry.event
        old = feed.rooms.get(room_id)
        if old is not None and old.since >= position:
            return
        membership = str(event.content.get("membership"))
        last_stay = None if old is None else old.last_stay
        if old is not None and old.membership == "join" != membership:
            last_stay = (old.joined_at, position)
        feed.rooms[room_id] = RoomView(
            membership,
            entry.number,
            event.sender,
            position,
            position,
            old.joined_at if old is not None and old.membership == "join" == membership else position,
            position,
            previous=None if old is None else old.membership,
            last_stay=last_stay,
        )
        self._by_room.setdefault(room_id, set()).add(feed)

    def forget(self, user_id: UserID, room_id: RoomID) -> None:
        """The user has forgotten a room that they left."""
        feed = self._feeds.get(user_id)
        if feed is not None and feed.rooms.pop(room_id, None) is not None:
            self._by_room.get(room_id, set()).discard(feed)

    def _on_ephemeral(self, kind: str, room_id: str | None, user_id: str | None, position: int) -> None:
        if room_id is not None:
            concerned: list[Feed] = list(self._by_room.get(RoomID(room_id), ()))
        elif user_id is not None:
            own = self._feeds.get(UserID(user_id))
            concerned = [] if own is None else [own]
        else:
            concerned = []
        for feed in concerned:
            if room_id is not None and feed.rooms[RoomID(room_id)].membership != "join":
                continue
            feed.ephemeral = position
            if feed.waiting:
                feed.wake()


def _member_target(entry: LogEntry) -> UserID | None:
    payload = entry.payload
    if isinstance(payload, TimelineEvent) and payload.event.type == "m.room.member":
        return UserID(payload.event.state_key or "")
    return None
