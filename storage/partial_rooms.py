"""Rooms that were joined without their member list, until it has been fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from homeserver.ids import EventID, RoomID, ServerName
from storage.transaction import Slot, Transaction


class PartialRoom(NamedTuple):
    """A room whose member list is still to come: by which event it was joined, through whom, and who is in it."""

    room_id: RoomID
    join_event: EventID
    via: ServerName
    servers: list[ServerName]


def save(
    txn: Transaction,
    room_id: str,
    *,
    join_event: str,
    via: str,
    servers: Sequence[str],
    is_partial: bool,
    started_ms: int,
) -> None:
    """Remember whether the room's state is all there."""
    room = txn.intern(room_id)
    if not is_partial:
        txn.execute("UPDATE rooms SET partial_state = 0 WHERE room = ? AND partial_state <> 0", room)
        txn.execute("DELETE FROM partial_rooms WHERE room = ?", room)
        return
    txn.execute("UPDATE rooms SET partial_state = 1 WHERE room = ?", room)
    txn.put(
        "partial_rooms",
        ("room", "join_event", "joined_via", "servers", "started_ms"),
        (room, join_event, via, msgspec.json.encode(list(servers)).decode(), started_ms),
        ("room",),
    )


def finish(txn: Transaction, room_id: str, position: Slot) -> None:
    """The state is all there from this position on."""
    room = txn.intern(room_id)
    txn.execute("UPDATE rooms SET partial_state = 0 WHERE room = ?", room)
    txn.execute("DELETE FROM partial_rooms WHERE room = ?", room)
    txn.put("completed_rooms", ("room", "position"), (room, position), ("room",))


def completed_at(txn: Transaction, room: int) -> int:
    """Where in the log the rest of the room's state became known; 0 if it was known from the beginning."""
    return int(txn.value("SELECT position FROM completed_rooms WHERE room = ?", room) or 0)


def find(txn: Transaction, room_id: str) -> PartialRoom | None:
    row = txn.one(f"{_SELECT} WHERE p.room = ?", txn.find_interned(room_id))
    return None if row is None else _partial_room(row)


def list_all(txn: Transaction) -> list[PartialRoom]:
    return [_partial_room(row) for row in txn.all(f"{_SELECT} ORDER BY p.started_ms")]


_SELECT = (
    "SELECT n.value, p.join_event, p.joined_via, p.servers FROM partial_rooms p"
    " JOIN names n ON n.nid = p.room"
)


def _partial_room(row: tuple[object, ...]) -> PartialRoom:
    room, join_event, via, servers = row
    return PartialRoom(
        RoomID(str(room)),
        EventID(str(join_event)),
        ServerName(str(via)),
        msgspec.json.decode(str(servers), type=list[ServerName]),
    )
