"""Thread subscriptions as rows; one that was ended is kept, so that nothing subscribes its user again by itself."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import EventID, RoomID
from storage.transaction import Slot, Transaction


class SubscriptionRow(NamedTuple):
    """`position` is that of the last change in the log."""

    room_id: RoomID
    root: EventID
    subscribed: bool
    automatic: bool
    position: int


_SELECT = (
    "SELECT n.value, t.root, t.subscribed, t.automatic, t.position FROM thread_subscriptions t"
    " JOIN names n ON n.nid = t.room WHERE t.user_name = ?"
)


def find(txn: Transaction, user_id: str, room_id: str, root: str) -> SubscriptionRow | None:
    row = txn.one(
        f"{_SELECT} AND t.room = ? AND t.root = ?",
        txn.find_interned(user_id),
        txn.find_interned(room_id),
        root,
    )
    return None if row is None else _row(row)


def save(
    txn: Transaction,
    user_id: str,
    room_id: str,
    root: str,
    *,
    subscribed: bool,
    automatic: bool,
    position: Slot,
) -> None:
    txn.put(
        "thread_subscriptions",
        ("user_name", "room", "root", "subscribed", "automatic", "position"),
        (txn.intern(user_id), txn.intern(room_id), root, int(subscribed), int(automatic), position),
        ("user_name", "room", "root"),
    )


def changes(txn: Transaction, user_id: str, *, after: int, until: int, limit: int) -> list[SubscriptionRow]:
    """The subscriptions that changed in (after, until], the newest first."""
    rows = txn.all(
        f"{_SELECT} AND t.position > ? AND t.position <= ? ORDER BY t.position DESC LIMIT ?",
        txn.find_interned(user_id),
        after,
        until,
        limit,
    )
    return [_row(row) for row in rows]


def _row(row: tuple[object, ...]) -> SubscriptionRow:
    room_id, root, subscribed, automatic, position = row
    return SubscriptionRow(
        RoomID(str(room_id)), EventID(str(root)), bool(subscribed), bool(automatic), int(str(position))
    )
