"""What the built-in OAuth 2.0 server remembers: clients, codes, which devices are whose, logged-in browsers."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import DeviceID, UserID
from storage.connection import Row
from storage.tokens import hash_token
from storage.transaction import Transaction

UNDECIDED, GRANTED, REFUSED = 0, 1, 2


class Code(NamedTuple):
    """An authorisation code: what was granted by whom to which client, and how it must be redeemed."""

    client_id: str
    user_id: UserID
    redirect_uri: str
    scope: str
    code_challenge: str
    expires_ms: int
    spent_device: DeviceID | None = None


class DeviceCode(NamedTuple):
    """What a device without a browser asks for, and what somebody has decided about it in theirs."""

    user_code: str
    client_id: str
    scope: str
    expires_ms: int
    polled_ms: int = 0
    decision: int = UNDECIDED
    user_id: UserID | None = None


def add_client(txn: Transaction, client_id: str, digest: bytes, metadata: bytes, *, now_ms: int) -> str:
    """Register a client; its ID, which is an older one if a client of the same metadata has one."""
    txn.execute(
        "INSERT INTO oauth_clients (client_id, digest, metadata, created_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (digest) DO NOTHING",
        client_id,
        digest,
        metadata,
        now_ms,
    )
    return str(txn.value("SELECT client_id FROM oauth_clients WHERE digest = ?", digest))


def find_client(txn: Transaction, client_id: str) -> bytes | None:
    """The metadata of a client."""
    metadata = txn.value("SELECT metadata FROM oauth_clients WHERE client_id = ?", client_id)
    return None if metadata is None else bytes(metadata)


def delete_idle_clients(txn: Transaction, before_ms: int) -> int:
    """Forget clients that were registered before then and have neither sessions nor codes."""
    return txn.execute(
        "DELETE FROM oauth_clients WHERE created_ms < ?"
        " AND client_id NOT IN (SELECT client_id FROM oauth_sessions)"
        " AND client_id NOT IN (SELECT client_id FROM oauth_codes)"
        " AND client_id NOT IN (SELECT client_id FROM oauth_device_codes)",
        before_ms,
    )


def add_code(txn: Transaction, code: str, what: Code) -> None:
    txn.insert(
        "oauth_codes",
        ("code_hash", "client_id", "user_name", "redirect_uri", "scope", "code_challenge", "expires_ms"),
        (
            hash_token(code),
            what.client_id,
            txn.intern(what.user_id),
            what.redirect_uri,
            what.scope,
            what.code_challenge,
            what.expires_ms,
        ),
    )


def find_code(txn: Transaction, code: str) -> Code | None:
    row = txn.one(
        "SELECT client_id, user_name, redirect_uri, scope, code_challenge, expires_ms, spent_device"
        " FROM oauth_codes WHERE code_hash = ?",
        hash_token(code),
    )
    return None if row is None else Code(row[0], UserID(txn.interned(row[1])), *row[2:])


def spend_code(txn: Transaction, code: str, device_id: str) -> bool:
    """Note what a code was exchanged for; False if it was before."""
    return (
        txn.execute(
            "UPDATE oauth_codes SET spent_device = ? WHERE code_hash = ? AND spent_device IS NULL",
            device_id,
            hash_token(code),
        )
        == 1
    )


def add_device_code(txn: Transaction, code: str, what: DeviceCode) -> bool:
    """Add a device code; False if somebody else has its user code."""
    return (
        txn.execute(
            "INSERT INTO oauth_device_codes (code_hash, user_code, client_id, scope, expires_ms)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (user_code) DO NOTHING",
            hash_token(code),
            what.user_code,
            what.client_id,
            what.scope,
            what.expires_ms,
        )
        == 1
    )


_DEVICE_CODE = (
    "SELECT user_code, client_id, scope, expires_ms, polled_ms, decision, user_name FROM oauth_device_codes"
)


def find_device_code(txn: Transaction, code: str) -> DeviceCode | None:
    row = txn.one(f"{_DEVICE_CODE} WHERE code_hash = ?", hash_token(code))
    return None if row is None else _device_code(txn, row)


def find_by_user_code(txn: Transaction, user_code: str) -> DeviceCode | None:
    row = txn.one(f"{_DEVICE_CODE} WHERE user_code = ?", user_code)
    return None if row is None else _device_code(txn, row)


def _device_code(txn: Transaction, row: Row) -> DeviceCode:
    user_code, client_id, scope, expires_ms, polled_ms, decision, user = row
    user_id = None if user is None else UserID(txn.interned(user))
    return DeviceCode(user_code, client_id, scope, expires_ms, polled_ms, decision, user_id)


def decide(txn: Transaction, user_code: str, user_id: str, decision: int) -> bool:
    """Note what a user has decided; False if it was decided before."""
    return (
        txn.execute(
            "UPDATE oauth_device_codes SET decision = ?, user_name = ? WHERE user_code = ? AND decision = 0",
            decision,
            txn.intern(user_id),
            user_code,
        )
        == 1
    )


def poll(txn: Transaction, code: str, now_ms: int) -> None:
    txn.execute("UPDATE oauth_device_codes SET polled_ms = ? WHERE code_hash = ?", now_ms, hash_token(code))


def delete_device_code(txn: Transaction, code: str) -> None:
    txn.execute("DELETE FROM oauth_device_codes WHERE code_hash = ?", hash_token(code))


def delete_expired(txn: Transaction, now_ms: int) -> None:
    """Forget codes and browsers whose time is over; spent codes are kept for an hour, to know them again."""
    txn.execute("DELETE FROM oauth_codes WHERE expires_ms < ?", now_ms - 3_600_000)
    txn.execute("DELETE FROM oauth_device_codes WHERE expires_ms < ?", now_ms - 3_600_000)
    txn.execute("DELETE FROM browser_sessions WHERE expires_ms < ?", now_ms)


def add_session(txn: Transaction, user_id: str, device_id: str, client_id: str) -> None:
    """Note which client a device is."""
    txn.put(
        "oauth_sessions",
        ("user_name", "device_id", "client_id"),
        (txn.intern(user_id), device_id, client_id),
        ("user_name", "device_id"),
    )


def find_session(txn: Transaction, user_id: str, device_id: str) -> str | None:
    """The client that a device is, if it was logged in by OAuth."""
    client_id = txn.value(
        "SELECT client_id FROM oauth_sessions WHERE user_name = ? AND device_id = ?",
        txn.find_interned(user_id),
        device_id,
    )
    return None if client_id is None else str(client_id)


def is_oauth_token(txn: Transaction, token_id: int) -> bool:
    """Whether an access token was granted for a scope; those of older ways to log in have none."""
    return txn.value("SELECT scope FROM access_tokens WHERE token_id = ?", token_id) is not None


def delete_session(txn: Transaction, user_id: str, device_id: str) -> None:
    txn.execute(
        "DELETE FROM oauth_sessions WHERE user_name = ? AND device_id = ?", txn.intern(user_id), device_id
    )


def add_browser(txn: Transaction, token: str, user_id: str, *, password_mark: bytes, expires_ms: int) -> None:
    txn.insert(
        "browser_sessions",
        ("token_hash", "user_name", "password_mark", "expires_ms"),
        (hash_token(token), txn.intern(user_id), password_mark, expires_ms),
    )


def find_browser(txn: Transaction, token: str, *, now_ms: int) -> tuple[UserID, bytes] | None:
    """Who is logged in in a browser, and the mark of the password that they had then."""
    row = txn.one(
        "SELECT user_name, password_mark FROM browser_sessions WHERE token_hash = ? AND expires_ms > ?",
        hash_token(token),
        now_ms,
    )
    return None if row is None else (UserID(txn.interned(row[0])), bytes(row[1]))


def delete_browser(txn: Transaction, token: str) -> None:
    txn.execute("DELETE FROM browser_sessions WHERE token_hash = ?", hash_token(token))


def delete_of_user(txn: Transaction, user_id: str) -> None:
    """The account ends: log its browsers out, and void what it has granted."""
    user = txn.intern(user_id)
    for table in ("browser_sessions", "oauth_codes", "oauth_device_codes"):
        txn.execute(f"DELETE FROM {table} WHERE user_name = ?", user)
