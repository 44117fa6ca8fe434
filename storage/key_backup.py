"""Backups of room keys: versions, and in each the keys by room and session. Only their owner can read the keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from storage.transaction import Transaction


class Backup(NamedTuple):
    """One version of a user's backup. `etag` moves with every change of a key."""

    version: int
    algorithm: str
    auth_data: bytes
    etag: int
    key_count: int
    is_deleted: bool


class BackedUpKey(NamedTuple):
    """The key of one session. `session_data` is JSON."""

    room_id: str
    session_id: str
    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: bytes


_BACKUP = "version, algorithm, auth_data, etag, key_count, deleted"
_KEY = "room_id, session_id, first_message_index, forwarded_count, is_verified, session_data"
_AT_ONCE = 500


def _backup(row: tuple[Any, ...] | None) -> Backup | None:
    if row is None:
        return None
    version, algorithm, auth_data, etag, key_count, deleted = row
    return Backup(version, algorithm, bytes(auth_data), etag, key_count, bool(deleted))


def _backed_up_key(row: tuple[Any, ...]) -> BackedUpKey:
    room_id, session_id, first_message_index, forwarded_count, is_verified, session_data = row
    return BackedUpKey(
        room_id, session_id, first_message_index, forwarded_count, bool(is_verified), bytes(session_data)
    )


def create(txn: Transaction, user_id: str, algorithm: str, auth_data: bytes) -> int:
    """Begin a new version; its number is greater than that of any before."""
    user = txn.intern(user_id)
    version = (
        int(txn.value("SELECT COALESCE(MAX(version), 0) FROM key_backups WHERE user_name = ?", user)) + 1
    )
    txn.execute(
        f"INSERT INTO key_backups (user_name, {_BACKUP}) VALUES (?, ?, ?, ?, 0, 0, 0)",
        user,
        version,
        algorithm,
        auth_data,
    )
    return version


def find(txn: Transaction, user_id: str, version: int) -> Backup | None:
    """A version, be it deleted or not."""
    return _backup(
        txn.one(
            f"SELECT {_BACKUP} FROM key_backups WHERE user_name = ? AND version = ?",
            txn.find_interned(user_id),
            version,
        )
    )


def find_current(txn: Transaction, user_id: str) -> Backup | None:
    """The newest version that is not deleted."""
    return _backup(
        txn.one(
            f"SELECT {_BACKUP} FROM key_backups WHERE user_name = ? AND deleted = 0 ORDER BY version DESC LIMIT 1",
            txn.find_interned(user_id),
        )
    )


def set_auth_data(txn: Transaction, user_id: str, version: int, auth_data: bytes) -> None:
    txn.execute(
        "UPDATE key_backups SET auth_data = ? WHERE user_name = ? AND version = ?",
        auth_data,
        txn.find_interned(user_id),
        version,
    )


def delete_version(txn: Transaction, user_id: str, version: int) -> None:
    """Delete a version with all its keys; that it existed is remembered."""
    user = txn.find_interned(user_id)
    txn.execute("DELETE FROM backed_up_keys WHERE user_name = ? AND version = ?", user, version)
    txn.execute(
        "UPDATE key_backups SET deleted = 1, auth_data = ?, key_count = 0 WHERE user_name = ? AND version = ?",
        b"{}",
        user,
        version,
    )


def delete_of_user(txn: Transaction, user_id: str) -> None:
    user = txn.intern(user_id)
    txn.execute("DELETE FROM backed_up_keys WHERE user_name = ?", user)
    txn.execute("DELETE FROM key_backups WHERE user_name = ?", user)


def count_change(txn: Transaction, user_id: str, version: int, *, added: int) -> None:
    """The version's keys have changed, and there are so many more of them."""
    txn.execute(
        "UPDATE key_backups SET etag = etag + 1, key_count = key_count + ? WHERE user_name = ? AND version = ?",
        added,
        txn.find_interned(user_id),
        version,
    )


def save_key(txn: Transaction, user_id: str, version: int, key: BackedUpKey) -> None:
    """Keep a key in place of the one that the session had in this version."""
    txn.put(
        "backed_up_keys",
        (
            "user_name",
            "version",
            "room_id",
            "session_id",
            "first_message_index",
            "forwarded_count",
            "is_verified",
            "session_data",
        ),
        (txn.intern(user_id), version, *key[:4], int(key.is_verified), key.session_data),
        ("user_name", "version", "room_id", "session_id"),
    )


def find_keys(
    txn: Transaction, user_id: str, version: int, sessions: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], BackedUpKey]:
    """The keys of some sessions, which are named by room and session."""
    of_room: dict[str, set[str]] = {}
    for room_id, session_id in sessions:
        of_room.setdefault(room_id, set()).add(session_id)
    found: dict[tuple[str, str], BackedUpKey] = {}
    for room_id, names in of_room.items():
        ordered = sorted(names)
        for first in range(0, len(ordered), _AT_ONCE):
            some = ordered[first : first + _AT_ONCE]
            rows = txn.all(
                f"SELECT {_KEY} FROM backed_up_keys WHERE user_name = ? AND version = ? AND room_id = ?"
                f" AND session_id IN ({', '.join('?' * len(some))})",
                txn.find_interned(user_id),
                version,
                room_id,
                *some,
            )
            found.update({(row[0], row[1]): _backed_up_key(row) for row in rows})
    return found


def list_keys(
    txn: Transaction, user_id: str, version: int, room_id: str | None = None, session_id: str | None = None
) -> list[BackedUpKey]:
    """The keys of a version, of a room, or of a session."""
    where, values = _where(room_id, session_id)
    rows = txn.all(
        f"SELECT {_KEY} FROM backed_up_keys WHERE user_name = ? AND version = ?{where} ORDER BY room_id, session_id",
        txn.find_interned(user_id),
        version,
        *values,
    )
    return [_backed_up_key(row) for row in rows]


def delete_keys(
    txn: Transaction, user_id: str, version: int, room_id: str | None = None, session_id: str | None = None
) -> int:
    """Delete the keys of a version, of a room, or of a session; how many there were."""
    where, values = _where(room_id, session_id)
    return txn.execute(
        f"DELETE FROM backed_up_keys WHERE user_name = ? AND version = ?{where}",
        txn.find_interned(user_id),
        version,
        *values,
    )


def _where(room_id: str | None, session_id: str | None) -> tuple[str, list[str]]:
    given = {"room_id": room_id, "session_id": session_id}
    present = {column: value for column, value in given.items() if value is not None}
    return "".join(f" AND {column} = ?" for column in present), list(present.values())
