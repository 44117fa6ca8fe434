"""Receipts: how far users have read, for all to see or for themselves.

Spec: https://spec.matrix.org/v1.19/client-server-api/#receipts
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.errors import InvalidParam
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.live_room import LiveRoom, Receipt, ReceiptKey
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind
from storage import events as event_rows
from storage import receipts as receipt_rows
from storage.database import Database
from storage.transaction import Transaction

RECEIPT_TYPES = frozenset({"m.read", "m.read.private"})


@dataclass(slots=True, frozen=True)
class GivenReceipt:
    """A receipt as the federation sender finds it in the log."""

    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str
    event_id: EventID
    ts: int


class Receipts:
    """Takes receipts of local and remote users."""

    def __init__(self, db: Database, rooms: Rooms, clock: Clock) -> None:
        self._db = db
        self._rooms = rooms
        self._clock = clock

    async def give(
        self,
        room_id: RoomID,
        user_id: UserID,
        receipt_type: str,
        event_id: EventID,
        *,
        thread_id: str | None = None,
        ts: int | None = None,
    ) -> None:
        """The user has read up to the event; a receipt for an older event than the last one changes nothing.

        Raises:
            InvalidParam: the receipt's type or thread is none.
        """
        if receipt_type not in RECEIPT_TYPES:
            raise InvalidParam(f"{receipt_type!r} is not a receipt type")
        if thread_id == "" or (
            thread_id is not None and thread_id != "main" and not thread_id.startswith("$")
        ):
            raise InvalidParam("thread_id must be 'main' or the event ID of a thread's root")
        room = await self._rooms.load(room_id)
        shown = room.timeline.find(event_id)
        position = None if shown is None else shown.position
        if position is None:
            position = await self._db.read(_position_of, room_id, event_id)
        if position is None:
            # Federation may bring the event later; a local client cannot have read what is not here.
            return
        key = ReceiptKey(user_id, receipt_type, thread_id or "")
        before = room.receipts.get(key)
        if before is not None and before.event_position >= position:
            return
        given = GivenReceipt(
            room_id,
            user_id,
            receipt_type,
            key.thread_id,
            event_id,
            self._clock.now_ms() if ts is None else ts,
        )
        await self._db.run(_give, room, key, given, position)


def _position_of(txn: Transaction, room_id: RoomID, event_id: EventID) -> int | None:
    row = event_rows.find(txn, event_id)
    if row is None or row.room != txn.find_interned(room_id) or row.flags & event_rows.HIDDEN:
        return None
    return row.position


def _give(
    txn: Transaction, room: LiveRoom, key: ReceiptKey, given: GivenReceipt, event_position: int
) -> None:
    slot = txn.log(
        LogKind.RECEIPT, room_id=room.room_id, user_id=given.user_id, ref=given.receipt_type, payload=given
    )
    receipt_rows.save(
        txn,
        room_id=room.room_id,
        user_id=given.user_id,
        receipt_type=given.receipt_type,
        thread_id=given.thread_id,
        event_id=given.event_id,
        event_position=event_position,
        ts=given.ts,
        position=slot,
    )

    def committed() -> None:
        room.set_receipt(key, Receipt(given.event_id, given.ts, slot.position, event_position))

    txn.after_commit(committed)
