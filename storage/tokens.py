"""Access tokens, refresh tokens and short-lived tokens; only their hashes are stored.

The number of a token is the first 63 bits of its hash: whoever knows a token knows its number, and nobody
else does.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from homeserver.ids import DeviceID, UserID
from storage.transaction import Transaction


class AccessToken(NamedTuple):
    """An access token: whose and of which device, until when, and the refresh token its first use revokes.

    A token that was issued to an administrator who acts as the user names the administrator as `puppeteer`.
    """

    token_id: int
    user_id: UserID
    device_id: DeviceID | None
    created_ms: int
    expires_ms: int | None = None
    supersedes: int | None = None
    puppeteer: UserID | None = None
    scope: str | None = None


class RefreshToken(NamedTuple):
    """A refresh token, the access token issued with it, and its neighbours in the chain of rotations."""

    token_id: int
    user_id: UserID
    device_id: DeviceID
    access_id: int
    previous_id: int | None = None
    next_id: int | None = None
    expires_ms: int | None = None
    session_expires_ms: int | None = None
    scope: str | None = None
    idle_ms: int | None = None


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def token_id_of(token_hash: bytes) -> int:
    return int.from_bytes(token_hash[:8], "big") >> 1


_ACCESS = (
    "SELECT token_id, user_name, device_id, created_ms, expires_ms, supersedes, puppeteer, scope"
    " FROM access_tokens"
)
_REFRESH = (
    "SELECT token_id, user_name, device_id, access_id, previous_id, next_id, expires_ms, session_expires_ms,"
    " scope, idle_ms FROM refresh_tokens"
)


def _access_token(txn: Transaction, row: tuple[Any, ...]) -> AccessToken:
    token_id, user, device_id, created_ms, expires_ms, supersedes, puppeteer, scope = row
    return AccessToken(
        token_id,
        UserID(txn.interned(user)),
        device_id,
        created_ms,
        expires_ms,
        supersedes,
        None if puppeteer is None else UserID(txn.interned(puppeteer)),
        scope,
    )


def add_access(
    txn: Transaction,
    token: str,
    user_id: str,
    device_id: str | None,
    *,
    created_ms: int,
    expires_ms: int | None = None,
    supersedes: int | None = None,
    puppeteer: str | None = None,
    scope: str | None = None,
    jti: str | None = None,
) -> int:
    token_hash = hash_token(token)
    token_id = token_id_of(token_hash)
    txn.insert(
        "access_tokens",
        (
            "token_id",
            "token_hash",
            "user_name",
            "device_id",
            "created_ms",
            "expires_ms",
            "supersedes",
            "puppeteer",
            "scope",
            "jti",
        ),
        (
            token_id,
            token_hash,
            txn.intern(user_id),
            device_id,
            created_ms,
            expires_ms,
            supersedes,
            None if puppeteer is None else txn.intern(puppeteer),
            scope,
            jti,
        ),
    )
    return token_id


def find_access(txn: Transaction, token_hash: bytes) -> AccessToken | None:
    row = txn.one(f"{_ACCESS} WHERE token_id = ? AND token_hash = ?", token_id_of(token_hash), token_hash)
    return None if row is None else _access_token(txn, row)


def find_device_of_jti(txn: Transaction, user_id: str, jti: str) -> DeviceID | None:
    """The device of the user's signed token that bears this name."""
    device_id = txn.value(
        "SELECT device_id FROM access_tokens WHERE user_name = ? AND jti = ?", txn.find_interned(user_id), jti
    )
    return None if device_id is None else DeviceID(device_id)


def list_access(txn: Transaction, user_id: str) -> list[AccessToken]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    return [_access_token(txn, row) for row in txn.all(f"{_ACCESS} WHERE user_name = ?", user)]


def clear_supersedes(txn: Transaction, token_id: int) -> None:
    txn.execute("UPDATE access_tokens SET supersedes = NULL WHERE token_id = ?", token_id)


def delete_access(txn: Transaction, token_id: int) -> None:
    txn.execute("DELETE FROM access_tokens WHERE token_id = ?", token_id)


def delete_of_device(txn: Transaction, user_id: str, device_id: str) -> None:
    """Delete every access and refresh token of a device."""
    user = txn.intern(user_id)
    txn.execute("DELETE FROM access_tokens WHERE user_name = ? AND device_id = ?", user, device_id)
    txn.execute("DELETE FROM refresh_tokens WHERE user_name = ? AND device_id = ?", user, device_id)


def delete_without_device(txn: Transaction, user_id: str, *, except_id: int | None = None) -> None:
    """Delete a user's access tokens that belong to no device, but for `except_id`."""
    txn.execute(
        "DELETE FROM access_tokens WHERE user_name = ? AND device_id IS NULL AND token_id <> ?",
        txn.intern(user_id),
        -1 if except_id is None else except_id,
    )


def add_refresh(
    txn: Transaction,
    token: str,
    user_id: str,
    device_id: str,
    *,
    access_id: int,
    previous_id: int | None = None,
    expires_ms: int | None = None,
    session_expires_ms: int | None = None,
    scope: str | None = None,
    idle_ms: int | None = None,
) -> int:
    token_hash = hash_token(token)
    token_id = token_id_of(token_hash)
    txn.insert(
        "refresh_tokens",
        (
            "token_id",
            "token_hash",
            "user_name",
            "device_id",
            "access_id",
            "previous_id",
            "expires_ms",
            "session_expires_ms",
            "scope",
            "idle_ms",
        ),
        (
            token_id,
            token_hash,
            txn.intern(user_id),
            device_id,
            access_id,
            previous_id,
            expires_ms,
            session_expires_ms,
            scope,
            idle_ms,
        ),
    )
    return token_id


def _refresh_token(txn: Transaction, row: tuple[Any, ...] | None) -> RefreshToken | None:
    return None if row is None else RefreshToken(row[0], UserID(txn.interned(row[1])), *row[2:])


def find_refresh(txn: Transaction, token_hash: bytes) -> RefreshToken | None:
    return _refresh_token(
        txn, txn.one(f"{_REFRESH} WHERE token_id = ? AND token_hash = ?", token_id_of(token_hash), token_hash)
    )


def find_refresh_by_id(txn: Transaction, token_id: int) -> RefreshToken | None:
    return _refresh_token(txn, txn.one(f"{_REFRESH} WHERE token_id = ?", token_id))


def set_next_refresh(txn: Transaction, token_id: int, next_id: int) -> None:
    txn.execute("UPDATE refresh_tokens SET next_id = ? WHERE token_id = ?", next_id, token_id)


def delete_refresh(txn: Transaction, token_id: int) -> None:
    txn.execute("DELETE FROM refresh_tokens WHERE token_id = ?", token_id)


def add_short(txn: Transaction, token: str, purpose: str, *, user_id: str | None, expires_ms: int) -> None:
    """Add a token that is exchanged for something; `purpose` keeps one kind from passing as another."""
    token_hash = hash_token(token)
    txn.insert(
        "short_tokens",
        ("token_id", "token_hash", "purpose", "user_name", "expires_ms"),
        (
            token_id_of(token_hash),
            token_hash,
            purpose,
            None if user_id is None else txn.intern(user_id),
            expires_ms,
        ),
    )


def find_short(txn: Transaction, token: str, purpose: str, *, now_ms: int) -> UserID | None:
    """The user that a short-lived token was issued for."""
    token_hash = hash_token(token)
    user = txn.value(
        "SELECT user_name FROM short_tokens"
        " WHERE token_id = ? AND token_hash = ? AND purpose = ? AND expires_ms > ?",
        token_id_of(token_hash),
        token_hash,
        purpose,
        now_ms,
    )
    return None if user is None else UserID(txn.interned(user))


def spend_short(txn: Transaction, token: str, purpose: str, *, now_ms: int) -> bool:
    """Use up a short-lived token; False if it is unknown, spent or expired."""
    token_hash = hash_token(token)
    return (
        txn.execute(
            "DELETE FROM short_tokens"
            " WHERE token_id = ? AND token_hash = ? AND purpose = ? AND expires_ms > ?",
            token_id_of(token_hash),
            token_hash,
            purpose,
            now_ms,
        )
        == 1
    )


def delete_short_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM short_tokens WHERE user_name = ?", txn.intern(user_id))


def delete_short_before(txn: Transaction, before_ms: int) -> int:
    return txn.execute("DELETE FROM short_tokens WHERE expires_ms <= ?", before_ms)
