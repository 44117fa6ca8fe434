"""Addresses that are being proved."""

from __future__ import annotations

from typing import NamedTuple

from storage.tokens import hash_token
from storage.transaction import Transaction


class ValidationSession(NamedTuple):
    """A proof under way; `validated_ms` says when it succeeded."""

    sid: str
    purpose: str
    medium: str
    address: str
    secret_hash: bytes
    token_hash: bytes
    send_attempt: int
    next_link: str | None
    expires_ms: int
    validated_ms: int | None = None


_KEEP_CODES_MS = 24 * 3600 * 1000
_COLUMNS = ValidationSession._fields
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM validation_sessions"


def put(txn: Transaction, session: ValidationSession) -> None:
    txn.put("validation_sessions", _COLUMNS, tuple(session), ("sid",))


def find(txn: Transaction, sid: str) -> ValidationSession | None:
    row = txn.one(f"{_SELECT} WHERE sid = ?", sid)
    return None if row is None else _session(row)


def find_same(
    txn: Transaction, purpose: str, medium: str, address: str, secret_hash: bytes
) -> ValidationSession | None:
    """The session that a client has begun for an address before."""
    row = txn.one(
        f"{_SELECT} WHERE purpose = ? AND medium = ? AND address = ? AND secret_hash = ?",
        purpose,
        medium,
        address,
        secret_hash,
    )
    return None if row is None else _session(row)


def _session(row: tuple[object, ...]) -> ValidationSession:
    session = ValidationSession._make(row)
    return session._replace(secret_hash=bytes(session.secret_hash), token_hash=bytes(session.token_hash))


def set_validated(txn: Transaction, sid: str, now_ms: int) -> None:
    txn.execute("UPDATE validation_sessions SET validated_ms = ? WHERE sid = ?", now_ms, sid)


def delete(txn: Transaction, sid: str) -> None:
    txn.execute("DELETE FROM validation_sessions WHERE sid = ?", sid)


def delete_expired(txn: Transaction, now_ms: int) -> None:
    txn.execute("DELETE FROM validation_sessions WHERE expires_ms <= ?", now_ms)
    # Whoever types a code too late is told that it is too late, for a day.
    txn.execute("DELETE FROM email_codes WHERE expires_ms <= ?", now_ms - _KEEP_CODES_MS)


def put_code(
    txn: Transaction,
    purpose: str,
    address: str,
    code: str,
    *,
    now_ms: int,
    expires_ms: int,
    attempts: int,
) -> None:
    """Note a code for an address; one of before works no longer."""
    txn.put(
        "email_codes",
        ("purpose", "address", "code_hash", "sent_ms", "expires_ms", "attempts_left"),
        (purpose, address, hash_token(f"{purpose} {address} {code}"), now_ms, expires_ms, attempts),
        ("purpose", "address"),
    )


def code_sent_ms(txn: Transaction, purpose: str, address: str) -> int | None:
    """When the last code was sent."""
    sent_ms = txn.value("SELECT sent_ms FROM email_codes WHERE purpose = ? AND address = ?", purpose, address)
    return None if sent_ms is None else int(sent_ms)


def try_code(txn: Transaction, purpose: str, address: str, code: str, *, now_ms: int) -> bool | None:
    """Use up a code, or one of the attempts at it; None if it works no longer."""
    row = txn.one(
        "SELECT code_hash, attempts_left, expires_ms FROM email_codes WHERE purpose = ? AND address = ?",
        purpose,
        address,
    )
    if row is None:
        return False
    if row[1] <= 0 or row[2] <= now_ms:
        return None
    is_right = bytes(row[0]) == hash_token(f"{purpose} {address} {code}")
    if is_right:
        txn.execute("DELETE FROM email_codes WHERE purpose = ? AND address = ?", purpose, address)
    else:
        txn.execute(
            "UPDATE email_codes SET attempts_left = attempts_left - 1 WHERE purpose = ? AND address = ?",
            purpose,
            address,
        )
    return is_right
