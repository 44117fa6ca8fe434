"""Rooms as rows: their versions, their heads and the nodes of their state trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID
from storage.transaction import Transaction


class RoomHead(NamedTuple):
    """The state after a room's extremities, those with their depths, and the last sequence number."""

    state_root: NodeHash
    extremities: dict[EventID, int]
    last_seq: int


def find(txn: Transaction, room_id: str) -> tuple[int, str] | None:
    """The room's number and version."""
    room = txn.find_interned(room_id)
    if room is None:
        return None
    version = txn.value("SELECT version FROM rooms WHERE room = ?", room)
    return None if version is None else (room, str(version))


def create(txn: Transaction, room_id: str, version: str) -> int:
    """A row for the room, which may exist already."""
    room = txn.intern(room_id)
    txn.put("rooms", ("room", "version"), (room, version), ("room",))
    return room


def load_head(txn: Transaction, room: int) -> RoomHead | None:
    row = txn.one("SELECT state_root, extremities, last_seq FROM room_heads WHERE room = ?", room)
    if row is None:
        return None
    root, extremities, last_seq = row
    return RoomHead(
        NodeHash(bytes(root)), msgspec.json.decode(extremities, type=dict[EventID, int]), last_seq
    )


def save_head(txn: Transaction, room: int, head: RoomHead) -> None:
    txn.put(
        "room_heads",
        ("room", "state_root", "extremities", "last_seq"),
        (
            room,
            head.state_root,
            msgspec.json.encode(head.extremities).decode(),
            head.last_seq,
        ),
        ("room",),
    )


def load_state_nodes(txn: Transaction, room: int, hashes: Iterable[NodeHash]) -> dict[NodeHash, bytes]:
    wanted = list(hashes)
    found: dict[NodeHash, bytes] = {}
    for first in range(0, len(wanted), 500):
        chunk = wanted[first : first + 500]
        marks = ", ".join("?" * len(chunk))
        rows = txn.all(
            f"SELECT hash, node FROM state_nodes WHERE room = ? AND hash IN ({marks})", room, *chunk
        )
        found.update((NodeHash(bytes(key)), bytes(node)) for key, node in rows)
    return found


def save_state_nodes(txn: Transaction, room: int, nodes: Mapping[NodeHash, bytes]) -> None:
    for key, node in nodes.items():
        txn.put("state_nodes", ("room", "hash", "node"), (room, key, node), ("room", "hash"))


def is_partial(txn: Transaction, room: int) -> bool:
    """Whether only part of the room's state is known yet, after a join that left the members out."""
    return bool(txn.value("SELECT partial_state FROM rooms WHERE room = ?", room))


def number_of(txn: Transaction, room_id: str) -> int:
    """The number of a room that is known to be stored."""
    number = txn.find_interned(room_id)
    if number is None:
        raise KeyError(f"the room {room_id} is not stored")
    return number
