"""Events as rows: how they are written once and found again by number, by ID and by place in their room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntFlag
from typing import NamedTuple

import msgspec

from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, StateKey
from storage.transaction import Slot, Transaction


class EventFlag(IntFlag):
    """What keeps an event out of its room's timeline, or explains how it came there."""

    OUTLIER = 1
    REJECTED = 2
    SOFT_FAILED = 4
    FETCHED_LATER = 8
    RELAYED = 16
    """Another server's event that came by a handshake with us: we tell the room's other servers."""


HIDDEN = EventFlag.OUTLIER | EventFlag.REJECTED | EventFlag.SOFT_FAILED
"""Events with any of these are never in a timeline."""


class EventRow(NamedTuple):
    """A stored event; `json` is the PDU as it was hashed and signed (of a redacted event: its redacted form)."""

    number: int
    event_id: EventID
    room: int
    position: int | None
    flags: int
    seq: int | None
    state_before: NodeHash | None
    replaces: int | None
    redacted_by: int | None
    notify: bytes | None
    device: str | None
    txn_id: str | None
    json: bytes
    may_have_children: bool = True
    """Whether events that relate to it and are bundled with it may be stored."""


_COLUMNS = (
    "number, event_id, room, position, flags, seq, state_before, replaces, redacted_by, notify, device, txn_id,"
    " json"
)
# One look into an index for each row: a second statement that asks for all the parents at once costs twice as much.
_CHILDREN = (
    ", EXISTS (SELECT 1 FROM relations r WHERE r.parent = events.event_id AND r.rel_type <> 'm.annotation')"
)
INSERT_COLUMNS = (
    "number",
    "event_id",
    "room",
    "position",
    "depth",
    "type",
    "state_key",
    "sender",
    "origin_server_ts",
    "flags",
    "seq",
    "state_before",
    "replaces",
    "notify",
    "device",
    "txn_id",
    "json",
)
_BATCH = 500


def insert(
    txn: Transaction,
    *,
    number: int,
    event_id: str,
    room: int,
    position: Slot | int | None,
    depth: int,
    type: str,
    state_key: str | None,
    sender: str,
    origin_server_ts: int,
    flags: int,
    seq: int | None,
    state_before: bytes | None,
    replaces: int | None,
    notify: bytes | None,
    device: str | None,
    txn_id: str | None,
    json: bytes,
    is_known: bool = False,
) -> None:
    """Write one event; `position` is the slot of its log row, or None for an outlier.

    One that `is_known` was stored as an outlier under the same number, and gets its place now.
    """
    row = (
        number,
        event_id,
        room,
        position,
        depth,
        txn.intern(type),
        None if state_key is None else txn.intern(state_key),
        txn.intern(sender),
        origin_server_ts,
        flags,
        seq,
        state_before,
        replaces,
        notify,
        device,
        txn_id,
        json,
    )
    if is_known:
        txn.put("events", INSERT_COLUMNS, row, ("number",))
    else:
        txn.insert("events", INSERT_COLUMNS, row)


def _row(row: Sequence[object]) -> EventRow:
    return EventRow(*row)  # type: ignore[arg-type]  # the columns are those of _COLUMNS


def by_id(txn: Transaction, event_ids: Iterable[str]) -> dict[EventID, EventRow]:
    """The stored events among `event_ids`."""
    return {row.event_id: row for row in _where_in(txn, "event_id", list(event_ids))}


def by_number(txn: Transaction, numbers: Iterable[int]) -> dict[int, EventRow]:
    """The stored events among `numbers`."""
    return {row.number: row for row in _where_in(txn, "number", list(numbers))}


def _where_in(txn: Transaction, column: str, values: Sequence[object]) -> Iterable[EventRow]:
    for first in range(0, len(values), _BATCH):
        chunk = values[first : first + _BATCH]
        marks = ", ".join("?" * len(chunk))
        for row in txn.all(f"SELECT {_COLUMNS} FROM events WHERE {column} IN ({marks})", *chunk):
            yield _row(row)


def find(txn: Transaction, event_id: str) -> EventRow | None:
    row = txn.one(f"SELECT {_COLUMNS} FROM events WHERE event_id = ?", event_id)
    return None if row is None else _row(row)


def find_room(txn: Transaction, event_id: str) -> int | None:
    """The number of the room that an event is in; None if it is not known."""
    number = txn.value("SELECT room FROM events WHERE event_id = ?", event_id)
    return None if number is None else int(number)


def find_by_transaction(txn: Transaction, sender: str, device: str | None, txn_id: str) -> EventRow | None:
    """The event that this device has already sent under this transaction ID."""
    sender_name = txn.find_interned(sender)
    if sender_name is None:
        return None
    rows = txn.all(f"SELECT {_COLUMNS} FROM events WHERE sender = ? AND txn_id = ?", sender_name, txn_id)
    return next((_row(row) for row in rows if row[10] == device), None)


def before(
    txn: Transaction,
    room: int,
    position: int,
    limit: int,
    *,
    after: int | None = None,
    with_children: bool = False,
) -> list[EventRow]:
    """Up to `limit` timeline events at or before `position` (and after `after`), newest first.

    `with_children` says of each whether it has any.
    """
    floor = "" if after is None else "AND position > ?"
    params = (room, position) if after is None else (room, position, after)
    rows = txn.all(
        f"SELECT {_COLUMNS}{_CHILDREN if with_children else ''} FROM events"
        f" WHERE room = ? AND position <= ? {floor} AND flags & 7 = 0"
        " ORDER BY position DESC LIMIT ?",
        *params,
        limit,
    )
    return [_row(row) for row in rows]


def after(
    txn: Transaction,
    room: int,
    position: int,
    limit: int,
    *,
    until: int | None = None,
    with_children: bool = False,
) -> list[EventRow]:
    """Up to `limit` timeline events after `position` (and at or before `until`), oldest first.

    `with_children` says of each whether it has any.
    """
    ceiling = "" if until is None else "AND position <= ?"
    params = (room, position) if until is None else (room, position, until)
    rows = txn.all(
        f"SELECT {_COLUMNS}{_CHILDREN if with_children else ''} FROM events"
        f" WHERE room = ? AND position > ? {ceiling} AND flags & 7 = 0"
        " ORDER BY position LIMIT ?",
        *params,
        limit,
    )
    return [_row(row) for row in rows]


def by_seq(txn: Transaction, room: int, first: int, last: int) -> list[EventRow]:
    """The events whose local sequence number lies in [first, last], in order."""
    rows = txn.all(
        f"SELECT {_COLUMNS} FROM events WHERE room = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        room,
        first,
        last,
    )
    return [_row(row) for row in rows]


def nearest_to(txn: Transaction, room: int, ts: int, *, forwards: bool) -> EventRow | None:
    """The timeline event closest to `ts` (ms) in the given direction."""
    sign, order = (">=", "ASC") if forwards else ("<=", "DESC")
    row = txn.one(
        f"SELECT {_COLUMNS} FROM events WHERE room = ? AND origin_server_ts {sign} ? AND flags & 7 = 0"
        f" AND position IS NOT NULL ORDER BY origin_server_ts {order}, position {order} LIMIT 1",
        room,
        ts,
    )
    return None if row is None else _row(row)


def last_of_types(txn: Transaction, room: int, types: Iterable[str]) -> int:
    """The position of the room's last timeline event of one of these types; 0 if it has none."""
    numbers = [number for each in types if (number := txn.find_interned(each)) is not None]
    marks = ", ".join("?" * len(numbers))
    found = txn.value(
        f"SELECT position FROM events WHERE room = ? AND position > 0 AND flags & 7 = 0 AND type IN ({marks})"
        " ORDER BY position DESC LIMIT 1",
        room,
        *numbers,
    )
    return 0 if found is None else int(found)


def set_redacted(txn: Transaction, number: int, redacted_by: int, json: bytes) -> None:
    """Keep only the redacted form of an event, and remember who took the rest away."""
    txn.execute("UPDATE events SET redacted_by = ?, json = ? WHERE number = ?", redacted_by, json, number)


def placed_since(txn: Transaction, room: int, join: EventRow) -> list[EventRow]:
    """The events of a room that got their place with or after one, oldest first; none that was fetched later."""
    rows = txn.all(
        f"SELECT {_COLUMNS} FROM events WHERE room = ? AND flags & 9 = 0 AND (number >= ? OR position >= ?)"
        " ORDER BY number",
        room,
        join.number,
        join.position,
    )
    return [_row(row) for row in rows]


def place_again(txn: Transaction, number: int, state_before: bytes, flags: int) -> None:
    """The event's place has another state before it than was thought."""
    txn.execute("UPDATE events SET state_before = ?, flags = ? WHERE number = ?", state_before, flags, number)


def reaches_back(txn: Transaction, room: int) -> bool:
    """Whether the room has history that was fetched later."""
    return txn.one("SELECT 1 FROM events WHERE room = ? AND position < 0 LIMIT 1", room) is not None


def first_position(txn: Transaction, room: int) -> int:
    """Where history that is fetched later ends: at the oldest of it, or before everything else."""
    return min(0, int(txn.value("SELECT MIN(position) FROM events WHERE room = ?", room) or 0))


def oldest_ts(txn: Transaction, room: int) -> int | None:
    """When the oldest event of the room's timeline was sent, as far as it is here."""
    ts = txn.value(
        "SELECT origin_server_ts FROM events WHERE room = ? AND flags & 7 = 0 AND position IS NOT NULL"
        " ORDER BY position LIMIT 1",
        room,
    )
    return None if ts is None else int(ts)


def first_seq(txn: Transaction, room: int) -> int:
    """The lowest sequence number of the room's events; what comes to stand before them counts down from it."""
    found = txn.value("SELECT MIN(seq) FROM events WHERE room = ? AND seq IS NOT NULL", room)
    return 1 if found is None else min(1, int(found))


def last_number(txn: Transaction) -> int:
    return int(txn.value("SELECT COALESCE(MAX(number), 0) FROM events") or 0)


def recent_transactions(
    txn: Transaction, room: int, limit: int = 500
) -> list[tuple[str, str | None, str, str]]:
    """(sender, device, transaction ID, event ID) of the room's latest sends by local clients, oldest first."""
    rows = txn.all(
        "SELECT n.value, e.device, e.txn_id, e.event_id FROM events e JOIN names n ON n.nid = e.sender"
        " WHERE e.room = ? AND e.txn_id IS NOT NULL ORDER BY e.position DESC LIMIT ?",
        room,
        limit,
    )
    return [
        (str(sender), device, str(txn_id), str(event_id))
        for sender, device, txn_id, event_id in reversed(rows)
    ]


def notifying_after(txn: Transaction, room: int, position: int) -> list[EventRow]:
    """The timeline events after `position` that notify somebody, oldest first."""
    rows = txn.all(
        f"SELECT {_COLUMNS} FROM events WHERE room = ? AND position > ? AND notify IS NOT NULL AND flags & 7 = 0"
        " ORDER BY position",
        room,
        position,
    )
    return [_row(row) for row in rows]


class _Key(msgspec.Struct):
    type: str
    state_key: str | None = None


_decode_key = msgspec.json.Decoder(_Key).decode


def key_of(row: EventRow) -> StateKey | None:
    """The state key that a stored event stands under, if it is a state event."""
    found = _decode_key(row.json)
    return None if found.state_key is None else (found.type, found.state_key)
