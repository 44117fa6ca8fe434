"""What a user changed about their push rules: one JSON document a user, none for most."""

from __future__ import annotations

from storage.transaction import Slot, Transaction


def find(txn: Transaction, user_id: str) -> bytes | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    changes = txn.value("SELECT changes FROM push_rules WHERE user_name = ?", user)
    return None if changes is None else bytes(changes)


def position_of(txn: Transaction, user_id: str) -> int:
    """Where in the log the user's rules last changed; 0 if they never did."""
    user = txn.find_interned(user_id)
    if user is None:
        return 0
    return int(txn.value("SELECT position FROM push_rules WHERE user_name = ?", user) or 0)


def save(txn: Transaction, user_id: str, changes: bytes, position: Slot | int) -> None:
    txn.put(
        "push_rules",
        ("user_name", "changes", "position"),
        (txn.intern(user_id), changes, position),
        ("user_name",),
    )


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM push_rules WHERE user_name = ?", txn.intern(user_id))
