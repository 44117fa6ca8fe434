"""What state resolution took away that no event removed, kept for whoever looks into it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from homeserver.ids import RoomID
from storage.transaction import Slot, Transaction


class StateAlarm(NamedTuple):
    """One such loss: where it was in the log, when, and what was lost."""

    room_id: RoomID
    position: int
    seen_ms: int
    report: dict[str, Any]


def save(txn: Transaction, room: int, position: Slot, report: bytes, *, seen_ms: int) -> None:
    txn.put(
        "state_alarms",
        ("room", "position", "seen_ms", "report"),
        (room, position, seen_ms, report),
        ("room", "position"),
    )


def list_all(txn: Transaction, limit: int = 100) -> list[StateAlarm]:
    """The latest alarms, newest first."""
    rows = txn.all(
        "SELECT n.value, a.position, a.seen_ms, a.report FROM state_alarms a JOIN names n ON n.nid = a.room"
        " ORDER BY a.position DESC LIMIT ?",
        limit,
    )
    return [
        StateAlarm(RoomID(str(room)), int(position), int(seen_ms), msgspec.json.decode(bytes(report)))
        for room, position, seen_ms, report in rows
    ]
