"""The stripped state that came with invitations and knocks to rooms on other servers."""

from __future__ import annotations

from storage.transaction import Transaction


def save(txn: Transaction, room_id: str, user_id: str, state: bytes) -> None:
    """Keep `state`, a JSON array of stripped state events."""
    txn.put(
        "stripped_states",
        ("user_name", "room", "state"),
        (txn.intern(user_id), txn.intern(room_id), state),
        ("user_name", "room"),
    )


def find(txn: Transaction, room_id: str, user_id: str) -> bytes | None:
    state = txn.value(
        "SELECT state FROM stripped_states WHERE user_name = ? AND room = ?",
        txn.find_interned(user_id),
        txn.find_interned(room_id),
    )
    return None if state is None else bytes(state)
