"""Messages that wait for a device until it says that it has them, and what each device sent last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from homeserver.ids import DeviceID, UserID
from storage.transaction import Slot, Transaction


class Message(NamedTuple):
    """A message as its recipient sees it, and its place in the log."""

    position: int
    message: bytes


def add(txn: Transaction, user: int, device_id: str, position: Slot, message: bytes) -> None:
    """Owe a device a message; `user` is the user's number."""
    txn.insert(
        "to_device_messages",
        ("user_name", "device_id", "position", "message"),
        (user, device_id, position, message),
    )


def list_after(txn: Transaction, user_id: str, device_id: str, after: int, limit: int) -> list[Message]:
    """The oldest messages after a position."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT position, message FROM to_device_messages"
        " WHERE user_name = ? AND device_id = ? AND position > ? ORDER BY position LIMIT ?",
        user,
        device_id,
        after,
        limit,
    )
    return [Message(int(position), bytes(message)) for position, message in rows]


def delete_up_to(txn: Transaction, acknowledged: Iterable[tuple[UserID, DeviceID, int]]) -> None:
    """The devices have everything up to the position."""
    txn.many(
        "DELETE FROM to_device_messages WHERE user_name = ? AND device_id = ? AND position <= ?",
        [(txn.find_interned(user_id), device_id, position) for user_id, device_id, position in acknowledged],
    )


def delete_of_device(txn: Transaction, user_id: str, device_id: str) -> None:
    user = txn.find_interned(user_id)
    txn.execute("DELETE FROM to_device_messages WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM to_device_transactions WHERE user_name = ? AND device_id = ?", user, device_id)


def find_transactions(txn: Transaction, user_id: str, device_id: str) -> bytes:
    """The digests of the transactions that the device sent last."""
    recent = txn.value(
        "SELECT recent FROM to_device_transactions WHERE user_name = ? AND device_id = ?",
        txn.find_interned(user_id),
        device_id,
    )
    return b"" if recent is None else bytes(recent)


def save_transactions(txn: Transaction, user_id: str, device_id: str, recent: bytes) -> None:
    txn.put(
        "to_device_transactions",
        ("user_name", "device_id", "recent"),
        (txn.intern(user_id), device_id, recent),
        ("user_name", "device_id"),
    )
