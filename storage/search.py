"""The search index: which events have which words. Only `MATCH` and the schema's FULLTEXT differ between engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from homeserver.ids import RoomID
from storage.transaction import Transaction

MAX_ROOMS_NAMED = 500


class Match(NamedTuple):
    """An event that has the words."""

    number: int
    position: int
    room_id: RoomID
    words: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched: where (None: in all rooms of the user), in which keys, and only before a position."""

    user_id: str
    query: str
    keys: Sequence[int]
    rooms: Sequence[str] | None = None
    sender: str | None = None
    before: int = 2**62


def index(txn: Transaction, number: int, room_id: str, position: int, key: int, words: str) -> None:
    """Let an event be found by its words."""
    forget(txn, number)
    txn.execute(
        "INSERT INTO searchable_events (number, room, position, key) VALUES (?, ?, ?, ?)",
        number,
        txn.intern(room_id),
        position,
        key,
    )
    txn.execute("INSERT INTO search_words (rowid, words) VALUES (?, ?)", number, words)


def forget(txn: Transaction, number: int) -> None:
    """Let an event be found no more."""
    txn.execute("DELETE FROM search_words WHERE rowid = ?", number)
    txn.execute("DELETE FROM searchable_events WHERE number = ?", number)


def newest(txn: Transaction, wanted: Wanted, limit: int) -> list[Match]:
    """The newest matches in rooms that the user is in and that are not encrypted."""
    user = txn.find_interned(wanted.user_id)
    keys = ", ".join(str(int(key)) for key in wanted.keys)
    sql = (
        "SELECT s.number, s.position, n.value, search_words.words FROM search_words"
        " JOIN searchable_events s ON s.number = search_words.rowid JOIN names n ON n.nid = s.room"
        f" WHERE search_words MATCH ? AND s.position < ? AND s.key IN ({keys})"
        " AND s.room IN (SELECT m.room FROM membership m WHERE m.user_name = ? AND m.membership = 'join')"
        " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.room = s.room AND e.type = ? AND e.state_key = ?)"
    )
    params: list[object] = [wanted.query, wanted.before, user]
    params += [txn.find_interned("m.room.encryption"), txn.find_interned("")]
    if wanted.rooms is not None:
        rooms = [txn.find_interned(room) for room in wanted.rooms[:MAX_ROOMS_NAMED]]
        sql += f" AND s.room IN ({', '.join('?' * len(rooms)) or 'NULL'})"
        params += rooms
    if wanted.sender is not None:
        sql += " AND s.number IN (SELECT e.number FROM events e WHERE e.sender = ? AND e.number = s.number)"
        params.append(txn.find_interned(wanted.sender))
    rows = txn.all(f"{sql} ORDER BY s.position DESC LIMIT ?", *params, limit)
    return [
        Match(int(number), int(position), RoomID(str(room)), str(words))
        for number, position, room, words in rows
    ]
