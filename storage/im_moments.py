"""Moments as rows: which rooms hold them, and the posts in each, for the two-step merge of a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.ids import EventID, RoomID, UserID
from storage.transaction import Transaction


class MomentsRoom(NamedTuple):
    """A room of one author's moments, and who is meant to read it: public, friends or private."""

    room: int
    room_id: RoomID
    author: UserID
    visibility: str
    version: str


class Post(NamedTuple):
    """A post at its time; `number` orders those of one time."""

    room: int
    ts: int
    number: int
    event_id: EventID


class Reaction(NamedTuple):
    """Something that relates to a post."""

    post: EventID
    number: int
    rel_type: str
    type: str
    sender: UserID
    key: str | None


_ROOMS = (
    "SELECT r.room, n.value, r.author, r.visibility, v.version FROM im_moments_rooms r"
    " JOIN names n ON n.nid = r.room JOIN rooms v ON v.room = r.room"
)


def _room(row: tuple[object, ...]) -> MomentsRoom:
    return MomentsRoom(*row)  # type: ignore[arg-type]  # the columns are its fields


def save_room(txn: Transaction, room: int, author: str, visibility: str) -> None:
    txn.put("im_moments_rooms", ("room", "author", "visibility"), (room, author, visibility), ("room",))


def find_room(txn: Transaction, room_id: str) -> MomentsRoom | None:
    room = txn.find_interned(room_id)
    row = None if room is None else txn.one(f"{_ROOMS} WHERE r.room = ?", room)
    return None if row is None else _room(row)


def rooms_of(txn: Transaction, author: str) -> list[MomentsRoom]:
    """The author's rooms that this server knows, the oldest first."""
    return [_room(row) for row in txn.all(f"{_ROOMS} WHERE r.author = ? ORDER BY r.room", author)]


def rooms(txn: Transaction) -> list[int]:
    """Every room that this server knows, and every one that has rows here."""
    rows = txn.all("SELECT room FROM room_heads UNION SELECT room FROM im_moments_rooms")
    return sorted(int(room) for (room,) in rows)


def remove(txn: Transaction, room: int) -> None:
    """Forget everything about a room: it will be read again."""
    txn.execute("DELETE FROM im_moments WHERE room = ?", room)
    txn.execute("DELETE FROM im_moments_rooms WHERE room = ?", room)


def create_event(txn: Transaction, room: int) -> bytes | None:
    """The event that made a room."""
    sql = "SELECT json FROM events WHERE room = ? AND type = ? AND flags & 2 = 0 ORDER BY number LIMIT 1"
    json = txn.value(sql, room, txn.find_interned("m.room.create"))
    return None if json is None else bytes(json)


def messages(
    txn: Transaction, room: int, event_ids: Sequence[str] | None = None
) -> list[tuple[int, bytes, EventID]]:
    """(number, JSON, ID) of the messages of a room that are seen and not redacted; of some, if they are named."""
    condition = "" if event_ids is None else f" AND event_id IN ({', '.join('?' * len(event_ids))})"
    rows = txn.all(
        "SELECT number, json, event_id FROM events WHERE room = ? AND type = ? AND flags & 7 = 0"
        f" AND position IS NOT NULL AND redacted_by IS NULL AND state_key IS NULL{condition}",
        room,
        txn.find_interned("m.room.message"),
        *(event_ids or ()),
    )
    return [(int(number), bytes(json), EventID(event_id)) for number, json, event_id in rows]


def save_post(txn: Transaction, post: Post) -> None:
    """Note a post; one that is there already stays."""
    txn.put("im_moments", Post._fields, post, ("room", "ts", "number"))


def note_newest(txn: Transaction, room: int) -> None:
    """Keep the time of a room's newest post with the room."""
    sql = "UPDATE im_moments_rooms SET newest_ts = (SELECT MAX(ts) FROM im_moments WHERE room = ?) WHERE room = ?"
    txn.execute(sql, room, room)


def remove_redacted(txn: Transaction, room: int) -> None:
    """Forget the posts of a room that have been redacted."""
    txn.execute(
        "DELETE FROM im_moments WHERE room = ? AND event_id IN"
        " (SELECT e.event_id FROM im_moments p JOIN events e ON e.event_id = p.event_id"
        " WHERE p.room = ? AND e.redacted_by IS NOT NULL)",
        room,
        room,
    )


Place = tuple[int, int]
"""The time and number of a post: a page begins with the next older one."""


def newest_joined(txn: Transaction, user_id: str, before: Place, limit: int) -> list[Post]:
    """The newest posts before a place in the moments rooms that the user has joined."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        # Only of rooms with newer posts than the page's is one looked up.
        "SELECT r.room, CASE WHEN r.newest_ts <= ? THEN r.newest_ts"
        " ELSE (SELECT MAX(p.ts) FROM im_moments p WHERE p.room = r.room AND p.ts <= ?) END"
        " FROM membership m JOIN im_moments_rooms r ON r.room = m.room"
        " WHERE m.user_name = ? AND m.membership = 'join' AND r.newest_ts IS NOT NULL",
        before[0],
        before[0],
        user,
    )
    heads = sorted(((head, room) for room, head in rows if head is not None), reverse=True)
    if len(heads) < limit:
        return newest(txn, [room for _, room in heads], before, limit)
    # So many rooms have a post as new as this or newer: if it is still to be shown, nothing older is among the newest.
    least = heads[limit - 1][0]
    rooms = [room for head, room in heads if head >= least]
    posts = txn.all(
        f"SELECT room, ts, number, event_id FROM im_moments WHERE room IN ({', '.join('?' * len(rooms))})"
        " AND ts >= ? AND (ts < ? OR (ts = ? AND number < ?)) ORDER BY ts DESC, number DESC LIMIT ?",
        *rooms,
        least,
        before[0],
        before[0],
        before[1],
        limit,
    )
    if len(posts) < limit:
        # Some of those were seen on the page before, at this very time.
        return newest(txn, [room for _, room in heads], before, limit)
    return [Post(*row) for row in posts]


def newest(txn: Transaction, rooms: Sequence[int], before: Place, limit: int) -> list[Post]:
    """The newest posts of these rooms before a place: a few of each, merged."""
    found: list[Post] = []
    for room in rooms:
        found += [
            Post(*row)
            for row in txn.all(
                "SELECT room, ts, number, event_id FROM im_moments WHERE room = ?"
                " AND (ts < ? OR (ts = ? AND number < ?)) ORDER BY ts DESC, number DESC LIMIT ?",
                room,
                before[0],
                before[0],
                before[1],
                limit,
            )
        ]
    return sorted(found, key=lambda post: (-post.ts, -post.number))[:limit]


def room_of(txn: Transaction, room: int) -> MomentsRoom | None:
    row = txn.one(f"{_ROOMS} WHERE r.room = ?", room)
    return None if row is None else _room(row)


def reactions(txn: Transaction, posts: Sequence[str]) -> dict[EventID, list[Reaction]]:
    """The likes and comments of posts, oldest first."""
    found: dict[EventID, list[Reaction]] = {EventID(post): [] for post in posts}
    if not posts:
        return found
    rows = txn.all(
        "SELECT c.parent, c.child, c.rel_type, t.value, s.value, c.aggregation_key FROM relations c"
        " JOIN names t ON t.nid = c.type JOIN names s ON s.nid = c.sender"
        f" WHERE c.parent IN ({', '.join('?' * len(posts))}) ORDER BY c.child",
        *posts,
    )
    for row in rows:
        found[EventID(row[0])].append(Reaction(*row))
    return found
