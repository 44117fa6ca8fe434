"""Logins through upstream providers: which are under way, and who is who there."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import UserID
from storage.tokens import hash_token
from storage.transaction import Transaction


class Login(NamedTuple):
    """A login that has begun in a browser; `claims` (JSON) once the provider has said who it is."""

    provider: str
    next_path: str
    expires_ms: int
    claims: bytes | None = None


def begin(txn: Transaction, state: str, browser: str, what: Login) -> None:
    """Remember a login that begins; older ones that have expired are forgotten."""
    txn.insert(
        "upstream_logins",
        ("state_hash", "browser_hash", "provider", "next_path", "expires_ms", "claims"),
        (hash_token(state), hash_token(browser), what.provider, what.next_path, what.expires_ms, what.claims),
    )


def delete_expired(txn: Transaction, now_ms: int) -> None:
    txn.execute("DELETE FROM upstream_logins WHERE expires_ms <= ?", now_ms)


def spend(txn: Transaction, state: str, browser: str, *, now_ms: int) -> Login | None:
    """The login that began in this browser with this state; it is gone then."""
    where = "WHERE state_hash = ? AND browser_hash = ?"
    key = (hash_token(state), hash_token(browser))
    row = txn.one(f"SELECT provider, next_path, expires_ms, claims FROM upstream_logins {where}", *key)
    if row is None or txn.execute(f"DELETE FROM upstream_logins {where}", *key) != 1 or row[2] <= now_ms:
        return None
    return Login(row[0], row[1], row[2], None if row[3] is None else bytes(row[3]))


def find_user(txn: Transaction, provider: str, subject: str) -> UserID | None:
    """Who somebody at a provider is here."""
    number = txn.value(
        "SELECT user_name FROM external_ids WHERE provider = ? AND subject = ?", provider, subject
    )
    return None if number is None else UserID(txn.interned(number))


def link(txn: Transaction, provider: str, subject: str, user_id: str) -> bool:
    """Note who somebody at a provider is here; False if it is somebody else already."""
    return (
        txn.execute(
            "INSERT INTO external_ids (provider, subject, user_name) VALUES (?, ?, ?)"
            " ON CONFLICT (provider, subject) DO NOTHING",
            provider,
            subject,
            txn.intern(user_id),
        )
        == 1
    )
