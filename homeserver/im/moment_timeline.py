"""Pages of moments: the newest of everybody whom one follows, or of one author.

The two-step merge: first the rooms with the newest posts, then the newest posts of those. A post among the twenty
newest of all can only be in one of the twenty rooms whose newest post is newest, so nothing is missed or copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from homeserver.errors import NotFound
from homeserver.events.event import Event
from homeserver.events.room_versions import room_version
from homeserver.ids import EventID, UserID
from homeserver.im.follower import Follower
from homeserver.im.moment_ranges import shown_since
from homeserver.im.moment_shapes import read
from homeserver.im.moments import Moments, likers
from homeserver.im.paging import decode_place, encode_place
from homeserver.runtime.clock import Clock
from storage import events as event_rows
from storage import im_moments as moment_rows
from storage import membership
from storage.database import Database
from storage.im_moments import MomentsRoom, Place, Post, Reaction
from storage.transaction import Transaction

SHOWN_LIKES = 10
SHOWN_COMMENTS = 5
CLOCKS_DIFFER_MS = 5 * 60_000
_LAST = 1 << 62


class Friends(Protocol):
    async def friends_of(self, user_id: UserID) -> list[UserID]: ...


class MomentTimeline:
    """Reads moments."""

    def __init__(
        self, db: Database, follower: Follower, moments: Moments, friends: Friends, clock: Clock
    ) -> None:
        self._db = db
        self._follower = follower
        self._clock = clock
        self._moments = moments
        self._friends = friends

    async def page(
        self, viewer: UserID, *, author: UserID | None, before: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Some moments, newest first, and where the next page begins; of one author if one is named."""
        place = decode_place(before, int, int)
        # What claims to be of the future is shown when its time has come.
        start = (self._clock.now_ms() + CLOCKS_DIFFER_MS, _LAST) if place is None else (place[0], place[1])
        await self._follower.settled()
        posts = await self._db.read(_posts, viewer, author, start, limit + 1)
        shown, more = posts[:limit], len(posts) > limit
        items = await self._items(viewer, shown, SHOWN_COMMENTS)
        return items, encode_place(shown[-1].ts, shown[-1].number) if more else None

    async def one(self, moment_id: EventID, viewer: UserID) -> dict[str, Any]:
        """A moment with all of its comments that the viewer is shown.

        Raises:
            NotFound: there is none that they may see.
        """
        _, entry = await self._moments.find(moment_id, viewer)
        post = Post(0, entry.event.origin_server_ts, entry.number, moment_id)
        items = await self._items(viewer, [post], None)
        if not items:
            raise NotFound(f"no moment {moment_id}")
        return items[0]

    async def _items(
        self, viewer: UserID, posts: Sequence[Post], comments: int | None
    ) -> list[dict[str, Any]]:
        seen = {viewer, *await self._friends.friends_of(viewer)}
        return await self._db.read(_load_items, viewer, seen, posts, comments, self._clock.now_ms())


def _posts(txn: Transaction, viewer: UserID, author: UserID | None, before: Place, limit: int) -> list[Post]:
    if author is None:
        return moment_rows.newest_joined(txn, viewer, before, limit)
    rooms = [
        room.room
        for room in moment_rows.rooms_of(txn, author)
        # What is public is world-readable; the rest is for members.
        if room.visibility == "public" or membership.is_joined(txn, room.room_id, viewer)
    ]
    return moment_rows.newest(txn, rooms, before, limit)


def _load_items(
    txn: Transaction,
    viewer: UserID,
    seen: set[UserID],
    posts: Sequence[Post],
    comments: int | None,
    now_ms: int,
) -> list[dict[str, Any]]:
    """The posts with their likes and comments: a fixed number of queries, however many posts."""
    ids = [post.event_id for post in posts]
    rows = event_rows.by_id(txn, ids)
    related = moment_rows.reactions(txn, ids)
    rooms = {number: moment_rows.room_of(txn, number) for number in {row.room for row in rows.values()}}
    since = shown_since(txn, {room.author for room in rooms.values() if room is not None} - {viewer}, now_ms)
    items: list[dict[str, Any]] = []
    wanted: list[tuple[dict[str, Any], MomentsRoom, list[Reaction]]] = []
    for post in posts:
        row = rows.get(post.event_id)
        room = None if row is None else rooms[row.room]
        if row is None or room is None:
            continue
        event = Event.from_json(row.json, room_version(room.version), row.event_id)
        if event.origin_server_ts < since.get(room.author, 0):
            continue
        # One sees comments by the author, by oneself and by one's friends, as people know it from elsewhere.
        thread = [
            one
            for one in related[post.event_id]
            if one.rel_type == "m.thread" and (one.sender in seen or one.sender == room.author)
        ]
        liked_by = list(dict.fromkeys(likers(related[post.event_id])))
        item = {
            "moment_id": post.event_id,
            "room_id": room.room_id,
            "author": event.sender,
            "visibility": room.visibility,
            "ts": event.origin_server_ts,
            **read(event.content),
            "like_count": len(liked_by),
            "liked": viewer in liked_by,
            "likes": liked_by[:SHOWN_LIKES],
            "comment_count": len(thread),
        }
        items.append(item)
        wanted.append((item, room, thread if comments is None else thread[:comments]))
    found = event_rows.by_number(txn, [one.number for _, _, thread in wanted for one in thread])
    for item, room, thread in wanted:
        item["comments"] = [
            _comment(Event.from_json(row.json, room_version(room.version), row.event_id))
            for one in thread
            if (row := found.get(one.number)) is not None and row.redacted_by is None
        ]
    return items


def _comment(event: Event) -> dict[str, Any]:
    relation = event.content.get("m.relates_to", {})
    reply = relation.get("m.in_reply_to", {}).get("event_id") if isinstance(relation, dict) else None
    is_reply = isinstance(relation, dict) and relation.get("is_falling_back") is False
    body = event.content.get("body")
    return {
        "comment_id": event.event_id,
        "user_id": event.sender,
        "body": body if isinstance(body, str) else "",
        "reply_to": reply if is_reply else None,
        "ts": event.origin_server_ts,
    }
