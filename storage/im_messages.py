"""What the IM API asks of stored messages: by sequence number, across conversations, and what hangs on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.ids import EventID
from homeserver.runtime.notifier import LogKind
from storage import events as event_rows
from storage.events import EventRow
from storage.im_conversations import COUNTABLE
from storage.transaction import Transaction


class Reactions(NamedTuple):
    """How many have put a key on an event, and the user's own reaction if there is one."""

    key: str
    total: int
    mine: EventID | None


def span(txn: Transaction, room: int) -> tuple[int, int] | None:
    """The lowest and the highest sequence number of the room."""
    row = txn.one("SELECT MIN(seq), MAX(seq) FROM events WHERE room = ? AND seq IS NOT NULL", room)
    return None if row is None or row[0] is None else (int(row[0]), int(row[1]))


def across(
    txn: Transaction, rooms: Sequence[int], *, before: int | None, after: int | None, limit: int
) -> list[EventRow]:
    """The messages of several rooms by place in the log: the newest before a place, or the oldest after one."""
    kinds = [nid for kind in COUNTABLE if (nid := txn.find_interned(kind)) is not None]
    if not rooms or not kinds:
        return []
    bound = "< ?" if after is None else "> ?"
    order = "DESC" if after is None else "ASC"
    place = (2**62 if before is None else before) if after is None else after
    found: list[tuple[int, int]] = []
    for first in range(0, len(rooms), 500):
        chunk = rooms[first : first + 500]
        rows = txn.all(
            f"SELECT number, position FROM events WHERE room IN ({_marks(chunk)}) AND position {bound} AND position > 0"
            f" AND flags & 7 = 0 AND state_key IS NULL AND seq IS NOT NULL AND type IN ({_marks(kinds)})"
            f" ORDER BY position {order} LIMIT ?",
            *chunk,
            place,
            *kinds,
            limit,
        )
        found += [(int(number), int(position)) for number, position in rows]
    found.sort(key=lambda pair: pair[1], reverse=after is None)
    kept = [number for number, _ in found[:limit]]
    by_number = event_rows.by_number(txn, kept)
    return [by_number[number] for number in kept]


def reactions(txn: Transaction, event_ids: Sequence[str], user_id: str) -> dict[EventID, list[Reactions]]:
    """The reactions to each of the events, most frequent first."""
    user = txn.find_interned(user_id)
    counts: dict[EventID, dict[str, list[int]]] = {}
    own: dict[tuple[EventID, str], EventID] = {}
    for first in range(0, len(event_ids), 500):
        chunk = event_ids[first : first + 500]
        rows = txn.all(
            "SELECT r.parent, r.aggregation_key, r.sender, e.event_id FROM relations r"
            f" JOIN events e ON e.number = r.child WHERE r.parent IN ({_marks(chunk)})"
            " AND r.rel_type = 'm.annotation' AND r.aggregation_key IS NOT NULL",
            *chunk,
        )
        for parent, key, sender, event_id in rows:
            counts.setdefault(EventID(parent), {}).setdefault(key, []).append(sender)
            if sender == user:
                own[EventID(parent), key] = EventID(event_id)
    return {
        parent: sorted(
            (Reactions(key, len(senders), own.get((parent, key))) for key, senders in keys.items()),
            key=lambda each: (-each.total, each.key),
        )
        for parent, keys in counts.items()
    }


def recent_events(txn: Transaction, event_type: str, entries: int) -> list[bytes]:
    """The events of a type among the newest entries of the log, oldest first."""
    rows = txn.all(
        "SELECT e.json FROM log l JOIN events e ON e.event_id = l.ref WHERE l.kind = ? AND e.type = ?"
        " AND e.flags & 7 = 0 AND l.position > (SELECT COALESCE(MAX(position), 0) FROM log) - ?"
        " ORDER BY l.position",
        int(LogKind.EVENT),
        txn.find_interned(event_type),
        entries,
    )
    return [bytes(json) for (json,) in rows]


def find_sent(
    txn: Transaction, room_id: str, sender: str, device_id: str | None, client_id: str
) -> EventID | None:
    """What a device has said in a room under an ID of its own."""
    rows = txn.all(
        "SELECT device, event_id FROM events WHERE sender = ? AND txn_id = ? AND room = ?",
        txn.find_interned(sender),
        client_id,
        txn.find_interned(room_id),
    )
    return next((EventID(event_id) for device, event_id in rows if device == device_id), None)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
