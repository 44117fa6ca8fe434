"""Receipts as rows: how far each user has read each room, by receipt type and thread."""

from __future__ import annotations

from typing import NamedTuple

from storage.transaction import Slot, Transaction


class ReceiptRow(NamedTuple):
    """`thread_id` is "" for an unthreaded receipt; `event_position` is where its event stands in the log."""

    user_id: str
    receipt_type: str
    thread_id: str
    event_id: str
    event_position: int
    ts: int
    position: int


def list_of_room(txn: Transaction, room: int) -> list[ReceiptRow]:
    rows = txn.all(
        "SELECT n.value, r.receipt_type, r.thread_id, r.event_id, r.event_position, r.ts, r.position FROM receipts r"
        " JOIN names n ON n.nid = r.user_name WHERE r.room = ?",
        room,
    )
    return [ReceiptRow(*row) for row in rows]


def save(
    txn: Transaction,
    *,
    room_id: str,
    user_id: str,
    receipt_type: str,
    thread_id: str,
    event_id: str,
    event_position: int,
    ts: int,
    position: Slot,
) -> None:
    txn.put(
        "receipts",
        ("room", "user_name", "receipt_type", "thread_id", "event_id", "event_position", "ts", "position"),
        (
            txn.intern(room_id),
            txn.intern(user_id),
            receipt_type,
            thread_id,
            event_id,
            event_position,
            ts,
            position,
        ),
        ("room", "user_name", "receipt_type", "thread_id"),
    )
