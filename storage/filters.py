"""Filters that clients uploaded; the same filter uploaded again has the same number."""

from __future__ import annotations

import hashlib

from storage.transaction import Transaction


def add(txn: Transaction, user_id: str, definition: bytes) -> int:
    """The number of a filter, which is new unless the user has uploaded the same one before."""
    user = txn.intern(user_id)
    digest = hashlib.sha256(definition).digest()
    known = txn.value("SELECT filter_id FROM filters WHERE user_name = ? AND digest = ?", user, digest)
    if known is not None:
        return int(known)
    filter_id = int(txn.value("SELECT MAX(filter_id) FROM filters WHERE user_name = ?", user) or 0) + 1
    txn.insert(
        "filters", ("user_name", "filter_id", "digest", "definition"), (user, filter_id, digest, definition)
    )
    return filter_id


def find(txn: Transaction, user_id: str, filter_id: int) -> bytes | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    definition = txn.value(
        "SELECT definition FROM filters WHERE user_name = ? AND filter_id = ?", user, filter_id
    )
    return None if definition is None else bytes(definition)


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM filters WHERE user_name = ?", txn.intern(user_id))
