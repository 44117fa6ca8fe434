"""Profile fields of local users, one row each; values are JSON as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.ids import UserID
from storage.transaction import Transaction


def list_fields(txn: Transaction, user_id: str) -> dict[str, bytes]:
    """Every field of the user's profile, as JSON."""
    user = txn.find_interned(user_id)
    if user is None:
        return {}
    rows = txn.all("SELECT field, value FROM profiles WHERE user_name = ? ORDER BY field", user)
    return {str(field): bytes(value) for field, value in rows}


def of_users(txn: Transaction, users: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, bytes]]:
    """Some fields of several users' profiles, as JSON."""
    numbers = {number: user for user in users if (number := txn.find_interned(user)) is not None}
    if not numbers:
        return {}
    rows = txn.all(
        f"SELECT user_name, field, value FROM profiles WHERE user_name IN ({', '.join('?' * len(numbers))})"
        f" AND field IN ({', '.join('?' * len(fields))})",
        *numbers,
        *fields,
    )
    found: dict[str, dict[str, bytes]] = {}
    for number, field, value in rows:
        found.setdefault(numbers[int(number)], {})[str(field)] = bytes(value)
    return found


def find_field(txn: Transaction, user_id: str, field: str) -> bytes | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    value = txn.value("SELECT value FROM profiles WHERE user_name = ? AND field = ?", user, field)
    return None if value is None else bytes(value)


def save_field(txn: Transaction, user_id: str, field: str, value: bytes) -> None:
    txn.put(
        "profiles",
        ("user_name", "field", "value"),
        (txn.intern(user_id), field, value),
        ("user_name", "field"),
    )


def delete_field(txn: Transaction, user_id: str, field: str) -> bool:
    """Delete a field; False if the profile did not have it."""
    return (
        txn.execute("DELETE FROM profiles WHERE user_name = ? AND field = ?", txn.intern(user_id), field) == 1
    )


def delete_of_user(txn: Transaction, user_id: UserID) -> None:
    txn.execute("DELETE FROM profiles WHERE user_name = ?", txn.intern(user_id))
