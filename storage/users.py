"""Local accounts: one row each, whatever becomes of them. No user ID is handed out twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from homeserver.ids import UserID
from storage.transaction import Transaction


class Account(NamedTuple):
    """An account as it is stored. Its user ID stays taken even after deactivation."""

    user_id: UserID
    created_ms: int
    password_hash: str | None = None
    appservice_id: str | None = None
    user_type: str | None = None
    is_guest: bool = False
    is_admin: bool = False
    is_deactivated: bool = False
    is_erased: bool = False
    is_locked: bool = False
    is_suspended: bool = False
    is_shadow_banned: bool = False
    is_approved: bool = True
    consent_version: str | None = None
    consent_ms: int | None = None


_COLUMNS = (
    "created_ms, password_hash, appservice_id, user_type, guest, admin, deactivated, erased, locked,"
    " suspended, shadow_banned, approved, consent_version, consent_ms"
)
FLAGS = frozenset(
    {"guest", "admin", "deactivated", "erased", "locked", "suspended", "shadow_banned", "approved"}
)
"""The columns that are true or false."""

_FIELDS = FLAGS | {"password_hash", "appservice_id", "user_type", "consent_version", "consent_ms"}


def account_of(user_id: str, row: tuple[Any, ...]) -> Account:
    """The account that the columns of `_COLUMNS` describe."""
    return Account(UserID(user_id), *row[:4], *(bool(flag) for flag in row[4:12]), *row[12:])


def create(txn: Transaction, account: Account) -> bool:
    """Add an account; False if the user ID has been taken, by a living account or a dead one."""
    return (
        txn.execute(
            f"INSERT INTO users (user_name, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (user_name) DO NOTHING",
            txn.intern(account.user_id),
            *account[1:5],
            *(int(flag) for flag in account[5:13]),
            *account[13:],
        )
        == 1
    )


def find(txn: Transaction, user_id: str) -> Account | None:
    user = txn.find_interned(user_id)
    if user is None:
        return None
    row = txn.one(f"SELECT {_COLUMNS} FROM users WHERE user_name = ?", user)
    return None if row is None else account_of(user_id, row)


def exists(txn: Transaction, user_id: str) -> bool:
    user = txn.find_interned(user_id)
    return user is not None and txn.one("SELECT 1 FROM users WHERE user_name = ?", user) is not None


def update(txn: Transaction, user_id: str, **fields: Any) -> bool:
    """Change columns of an account; False if there is no such account."""
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise ValueError(f"users have no {', '.join(sorted(unknown))}")
    values = [int(value) if name in FLAGS else value for name, value in fields.items()]
    return (
        txn.execute(
            f"UPDATE users SET {', '.join(f'{name} = ?' for name in fields)} WHERE user_name = ?",
            *values,
            txn.intern(user_id),
        )
        == 1
    )


def list_existing(txn: Transaction, user_ids: Iterable[str]) -> list[UserID]:
    """Those of the user IDs that are accounts here."""
    return [UserID(user_id) for user_id in user_ids if exists(txn, user_id)]


def count_created_since(txn: Transaction, since_ms: int) -> int:
    return int(txn.value("SELECT COUNT(*) FROM users WHERE created_ms >= ?", since_ms) or 0)


def add_departing(txn: Transaction, user_id: str) -> None:
    """Remember that a deactivated user has rooms left to leave."""
    txn.execute(
        "INSERT INTO departing_users (user_name) VALUES (?) ON CONFLICT (user_name) DO NOTHING",
        txn.intern(user_id),
    )


def list_departing(txn: Transaction) -> list[UserID]:
    rows = txn.all(
        "SELECT n.value FROM departing_users d JOIN names n ON n.nid = d.user_name ORDER BY d.user_name"
    )
    return [UserID(str(user_id)) for (user_id,) in rows]


def remove_departing(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM departing_users WHERE user_name = ?", txn.intern(user_id))
