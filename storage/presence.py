"""The presence that users last chose, so that a status message survives a restart."""

from __future__ import annotations

from typing import NamedTuple

from storage.transaction import Transaction


class PresenceRow(NamedTuple):
    """`last_active_ms` is wall-clock time."""

    presence: str
    status_msg: str | None
    last_active_ms: int


def save(txn: Transaction, user_id: str, presence: str, status_msg: str | None, last_active_ms: int) -> None:
    txn.put(
        "presence",
        ("user_name", "presence", "status_msg", "last_active_ms"),
        (txn.intern(user_id), presence, status_msg, last_active_ms),
        ("user_name",),
    )


def find(txn: Transaction, user_id: str) -> PresenceRow | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    row = txn.one("SELECT presence, status_msg, last_active_ms FROM presence WHERE user_name = ?", user)
    return None if row is None else PresenceRow(*row)


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM presence WHERE user_name = ?", txn.find_interned(user_id))
