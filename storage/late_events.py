"""Events that came before what they refer to could be had, kept as they came to be tried again."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import EventID, RoomID, ServerName
from storage.transaction import Transaction


class LateEvent(NamedTuple):
    """An event and the server that brought it; `json` is the PDU."""

    event_id: EventID
    room_id: RoomID
    origin: ServerName
    json: bytes
    since_ms: int


def save(txn: Transaction, late: LateEvent, *, limit: int) -> bool:
    """Keep an event; False if it is kept already, or too many of its room are."""
    if find(txn, late.event_id) is not None:
        return False
    if int(txn.value("SELECT COUNT(*) FROM late_events WHERE room_id = ?", late.room_id) or 0) >= limit:
        return False
    txn.insert("late_events", ("event_id", "room_id", "origin", "json", "since_ms"), tuple(late))
    return True


def delete(txn: Transaction, event_id: str) -> None:
    txn.execute("DELETE FROM late_events WHERE event_id = ?", event_id)


def find(txn: Transaction, event_id: str) -> LateEvent | None:
    row = txn.one(
        "SELECT event_id, room_id, origin, json, since_ms FROM late_events WHERE event_id = ?", event_id
    )
    if row is None:
        return None
    found, room_id, origin, json, since_ms = row
    return LateEvent(
        EventID(str(found)), RoomID(str(room_id)), ServerName(str(origin)), bytes(json), int(since_ms)
    )


def list_all(txn: Transaction) -> list[EventID]:
    return [
        EventID(str(event_id))
        for (event_id,) in txn.all("SELECT event_id FROM late_events ORDER BY since_ms")
    ]
