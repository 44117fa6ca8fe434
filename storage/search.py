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


class Searchable(NamedTuple):
    """An event as it is to be found: `number` and `position` in the log, where, and by which words of which key."""

    number: int
    position: int
    room_id: str
    key: int
    words: str


def index(txn: Transaction, events: Sequence[Searchable]) -> None:
    """Let events be found by their words, but for those that are known or were redacted meanwhile."""
    if not events:
        return
    marks = ", ".join("?" * len(events))
    rows = txn.all(
        f"SELECT e.number FROM events e WHERE e.number IN ({marks}) AND e.redacted_by IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM searchable_events s WHERE s.number = e.number)",
        *[event.number for event in events],
    )
    new = {int(number) for (number,) in rows}
    for event in events:
        # One batch may bring an event twice.
        if event.number not in new:
            continue
        new.remove(event.number)
        txn.insert(
            "searchable_events",
            ("number", "room", "position", "key"),
            (event.number, txn.intern(event.room_id), event.position, event.key),
        )
        txn.insert("search_words", ("rowid", "words"), (event.number, event.words))


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
