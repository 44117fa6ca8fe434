"""The backward extremities of rooms: events that are known to have been, and are not here."""

from __future__ import annotations

from collections.abc import Iterable

from homeserver.ids import EventID
from storage.transaction import Transaction


def open_all(txn: Transaction, room: int, event_ids: Iterable[str]) -> None:
    """These events come before some of ours, and are not here."""
    for event_id in event_ids:
        txn.put("backward_extremities", ("room", "event_id"), (room, event_id), ("room", "event_id"))


def close(txn: Transaction, room: int, event_id: str) -> None:
    """The event is here now."""
    txn.execute("DELETE FROM backward_extremities WHERE room = ? AND event_id = ?", room, event_id)


def list_of_room(txn: Transaction, room: int) -> list[EventID]:
    rows = txn.all("SELECT event_id FROM backward_extremities WHERE room = ? ORDER BY event_id", room)
    return [EventID(str(event_id)) for (event_id,) in rows]


def is_open(txn: Transaction, room: int, event_id: str) -> bool:
    """Whether the event is known to have been, and is not here."""
    return (
        txn.one("SELECT 1 FROM backward_extremities WHERE room = ? AND event_id = ?", room, event_id)
        is not None
    )


def exist(txn: Transaction, room: int) -> bool:
    return txn.one("SELECT 1 FROM backward_extremities WHERE room = ? LIMIT 1", room) is not None
