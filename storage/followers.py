"""How far each follower of the log has come, so that it goes on there after a restart."""

from __future__ import annotations

from storage.transaction import Transaction


def load_place(txn: Transaction, name: str) -> int:
    """The position up to which the follower has dealt with everything; 0 if it has never run."""
    return int(txn.value("SELECT position FROM followers WHERE name = ?", name) or 0)


def is_known(txn: Transaction, name: str) -> bool:
    """Whether the follower has ever run."""
    return txn.one("SELECT 1 FROM followers WHERE name = ?", name) is not None


def save_place(txn: Transaction, name: str, position: int) -> None:
    txn.put("followers", ("name", "position"), (name, position), ("name",))


def forget(txn: Transaction, name: str) -> None:
    """The follower will never come back: do not keep the log for it."""
    txn.execute("DELETE FROM followers WHERE name = ?", name)


def slowest_place(txn: Transaction) -> int | None:
    """The position of the follower that is furthest behind, or None if nobody follows."""
    place = txn.value("SELECT MIN(position) FROM followers")
    return None if place is None else int(place)
