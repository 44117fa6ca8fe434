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
    """A post at its place in the log."""

    room: int
    position: int
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


def save_room(txn: Transaction, room_id: str, author: str, visibility: str) -> None:
    row = (txn.intern(room_id), author, visibility)
    txn.put("im_moments_rooms", ("room", "author", "visibility"), row, ("room",))


def find_room(txn: Transaction, room_id: str) -> MomentsRoom | None:
    room = txn.find_interned(room_id)
    row = None if room is None else txn.one(f"{_ROOMS} WHERE r.room = ?", room)
    return None if row is None else _room(row)


def rooms_of(txn: Transaction, author: str) -> list[MomentsRoom]:
    """The author's rooms that this server knows, the oldest first."""
    return [_room(row) for row in txn.all(f"{_ROOMS} WHERE r.author = ? ORDER BY r.room", author)]


def save_post(txn: Transaction, room_id: str, position: int, event_id: str) -> None:
    """Note a post; one that is there already stays."""
    row = (txn.intern(room_id), position, event_id)
    txn.put("im_moments", ("room", "position", "event_id"), row, ("room", "position"))


def remove_redacted(txn: Transaction, event_id: str) -> None:
    """Forget a post, if it has indeed been redacted."""
    txn.execute(
        "DELETE FROM im_moments WHERE event_id IN"
        " (SELECT event_id FROM events WHERE event_id = ? AND redacted_by IS NOT NULL)",
        event_id,
    )


def clear(txn: Transaction) -> None:
    """Forget everything: it will be built anew from the log."""
    txn.execute("DELETE FROM im_moments")
    txn.execute("DELETE FROM im_moments_rooms")


def joined_heads(txn: Transaction, user_id: str, before: int, limit: int) -> list[int]:
    """Of the moments rooms that the user has joined, those with the newest posts before a position."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT r.room, (SELECT MAX(p.position) FROM im_moments p WHERE p.room = r.room AND p.position < ?)"
        " FROM membership m JOIN im_moments_rooms r ON r.room = m.room"
        " WHERE m.user_name = ? AND m.membership = 'join'",
        before,
        user,
    )
    heads = sorted(((head, room) for room, head in rows if head is not None), reverse=True)
    return [room for _, room in heads[:limit]]


def newest(txn: Transaction, rooms: Sequence[int], before: int, limit: int) -> list[Post]:
    """The newest posts of these rooms before a position: a few of each, merged."""
    found: list[Post] = []
    for room in rooms:
        found += [
            Post(*row)
            for row in txn.all(
                "SELECT room, position, event_id FROM im_moments WHERE room = ? AND position < ?"
                " ORDER BY position DESC LIMIT ?",
                room,
                before,
                limit,
            )
        ]
    return sorted(found, key=lambda post: -post.position)[:limit]


def find_post(txn: Transaction, event_id: str) -> Post | None:
    row = txn.one("SELECT room, position, event_id FROM im_moments WHERE event_id = ?", event_id)
    return None if row is None else Post(*row)


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
