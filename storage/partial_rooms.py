"""Rooms that were joined without their member list, until it has been fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from homeserver.ids import EventID, RoomID, ServerName
from storage.transaction import Transaction


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
        finish(txn, room_id)
        return
    txn.execute("UPDATE rooms SET partial_state = 1 WHERE room = ?", room)
    txn.put(
        "partial_rooms",
        ("room", "join_event", "joined_via", "servers", "started_ms"),
        (room, join_event, via, msgspec.json.encode(list(servers)).decode(), started_ms),
        ("room",),
    )


def finish(txn: Transaction, room_id: str) -> None:
    """The state is all there."""
    room = txn.intern(room_id)
    txn.execute("UPDATE rooms SET partial_state = 0 WHERE room = ? AND partial_state <> 0", room)
    txn.execute("DELETE FROM partial_rooms WHERE room = ?", room)


def list_all(txn: Transaction) -> list[PartialRoom]:
    rows = txn.all(
        "SELECT n.value, p.join_event, p.joined_via, p.servers FROM partial_rooms p"
        " JOIN names n ON n.nid = p.room ORDER BY p.started_ms"
    )
    return [
        PartialRoom(
            RoomID(str(room)),
            EventID(str(join_event)),
            ServerName(str(via)),
            msgspec.json.decode(str(servers), type=list[ServerName]),
        )
        for room, join_event, via, servers in rows
    ]
