"""Backups of room keys, sealed by the clients: versions of a backup, and the keys in each.

Spec: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from homeserver.errors import BadJson, InvalidParam, MatrixError, NotFound
from homeserver.ids import UserID
from storage import key_backup as rows
from storage.database import Database
from storage.key_backup import BackedUpKey, Backup
from storage.transaction import Transaction

MAX_AUTH_DATA_BYTES = 64 * 1024
MAX_SESSION_BYTES = 64 * 1024
MAX_NAME_BYTES = 255
_MAX_INTEGER = 2**53 - 1

_encode = msgspec.json.encode


class WrongRoomKeysVersion(MatrixError):
    """Keys may only be written to the current version."""

    status = 403
    errcode = "M_WRONG_ROOM_KEYS_VERSION"

    def __init__(self, current: int) -> None:
        super().__init__("keys can only be written to the current version", current_version=str(current))


class Stored(NamedTuple):
    """How a backup stands after a change of its keys."""

    etag: str
    key_count: int


class KeyBackups:
    """Keeps backups. Versions are numbers that clients know as texts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, user_id: UserID, algorithm: str, auth_data: dict[str, Any]) -> str:
        """Begin a new version, which is the current one from now on."""
        return str(
            await self._db.run(rows.create, user_id, _checked_name(algorithm), _checked_auth(auth_data))
        )

    async def load(self, user_id: UserID, version: str | None) -> Backup:
        """A version, or the current one.

        Raises:
            NotFound: there is no such version.
        """
        number = None if version is None else _number(version)
        return await self._db.read(_load, user_id, number)

    async def update(
        self, user_id: UserID, version: str, algorithm: str, auth_data: dict[str, Any], named: str | None
    ) -> None:
        """Change the data by which clients know that they may trust the version.

        Raises:
            NotFound: there is no such version.
            InvalidParam: the algorithm or the version `named` in the data is another.
        """
        if named is not None and named != version:
            raise InvalidParam(f"the body names version {named} instead of {version}")
        await self._db.run(_update, user_id, _number(version), algorithm, _checked_auth(auth_data))

    async def delete(self, user_id: UserID, version: str) -> None:
        """Delete a version and all its keys; one that was deleted before is gone already.

        Raises:
            NotFound: there has never been such a version.
        """
        await self._db.run(_delete, user_id, _number(version))

    async def put_keys(self, user_id: UserID, version: str, keys: Sequence[BackedUpKey]) -> Stored:
        """Keep keys, each unless there is a better one for its session.

        Raises:
            NotFound: the user has no backup.
            WrongRoomKeysVersion: this is not the current version.
        """
        for key in keys:
            _check_key(key)
        return await self._db.run(_put_keys, user_id, _number(version), keys)

    async def list_keys(
        self, user_id: UserID, version: str, room_id: str | None = None, session_id: str | None = None
    ) -> list[BackedUpKey]:
        """The keys of a version, of a room in it, or of a session.

        Raises:
            NotFound: there is no such version.
        """
        return await self._db.read(_list_keys, user_id, _number(version), room_id, session_id)

    async def delete_keys(
        self, user_id: UserID, version: str, room_id: str | None = None, session_id: str | None = None
    ) -> Stored:
        """Delete the keys of a version, of a room in it, or of a session.

        Raises:
            NotFound: there is no such version.
        """
        return await self._db.run(_delete_keys, user_id, _number(version), room_id, session_id)


def _number(version: str) -> int:
    """The number of a version; none for what cannot be one, which no version has."""
    return int(version) if version.isascii() and version.isdigit() and len(version) < 16 else -1


def _checked_name(algorithm: str) -> str:
    if not algorithm or len(algorithm.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or "\0" in algorithm:
        raise InvalidParam("this is not the name of an algorithm")
    return algorithm


def _checked_auth(auth_data: dict[str, Any]) -> bytes:
    encoded = _encode(auth_data)
    if len(encoded) > MAX_AUTH_DATA_BYTES:
        raise InvalidParam(f"auth_data is larger than {MAX_AUTH_DATA_BYTES} bytes")
    return encoded


def _check_key(key: BackedUpKey) -> None:
    for what, name in (("room ID", key.room_id), ("session ID", key.session_id)):
        if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or "\0" in name:
            raise InvalidParam(f"{name[:100]!r} is not a {what}")
    if not 0 <= key.first_message_index <= _MAX_INTEGER or not 0 <= key.forwarded_count <= _MAX_INTEGER:
        raise BadJson("first_message_index and forwarded_count are counts")
    if len(key.session_data) > MAX_SESSION_BYTES:
        raise InvalidParam(
            f"the key of session {key.session_id[:100]} is larger than {MAX_SESSION_BYTES} bytes"
        )


def _load(txn: Transaction, user_id: UserID, version: int | None) -> Backup:
    if version is None:
        backup = rows.find_current(txn, user_id)
        if backup is None:
            raise NotFound("no current backup version")
        return backup
    backup = rows.find(txn, user_id, version)
    if backup is None or backup.is_deleted:
        raise NotFound("unknown backup version")
    return backup


def _update(txn: Transaction, user_id: UserID, version: int, algorithm: str, auth_data: bytes) -> None:
    if _load(txn, user_id, version).algorithm != algorithm:
        raise InvalidParam("the algorithm of a version cannot be changed")
    rows.set_auth_data(txn, user_id, version, auth_data)


def _delete(txn: Transaction, user_id: UserID, version: int) -> None:
    backup = rows.find(txn, user_id, version)
    if backup is None:
        raise NotFound("unknown backup version")
    if not backup.is_deleted:
        rows.delete_version(txn, user_id, version)


def _put_keys(txn: Transaction, user_id: UserID, version: int, keys: Sequence[BackedUpKey]) -> Stored:
    current = _load(txn, user_id, None)
    if current.version != version:
        raise WrongRoomKeysVersion(current.version)
    known = rows.find_keys(txn, user_id, version, [(key.room_id, key.session_id) for key in keys])
    added = 0
    changed = False
    for key in keys:
        name = key.room_id, key.session_id
        before = known.get(name)
        if before is None or _is_better(key, before):
            added += before is None
            changed = True
            known[name] = key
            rows.save_key(txn, user_id, version, key)
    if changed:
        rows.count_change(txn, user_id, version, added=added)
    return _stored(txn, user_id, version)


def _is_better(new: BackedUpKey, old: BackedUpKey) -> bool:
    """Verified before unverified, then the one that opens more messages, then the one that came a shorter way."""
    if new.is_verified != old.is_verified:
        return new.is_verified
    if new.first_message_index != old.first_message_index:
        return new.first_message_index < old.first_message_index
    return new.forwarded_count < old.forwarded_count


def _list_keys(
    txn: Transaction, user_id: UserID, version: int, room_id: str | None, session_id: str | None
) -> list[BackedUpKey]:
    _load(txn, user_id, version)
    return rows.list_keys(txn, user_id, version, room_id, session_id)


def _delete_keys(
    txn: Transaction, user_id: UserID, version: int, room_id: str | None, session_id: str | None
) -> Stored:
    _load(txn, user_id, version)
    deleted = rows.delete_keys(txn, user_id, version, room_id, session_id)
    if deleted:
        rows.count_change(txn, user_id, version, added=-deleted)
    return _stored(txn, user_id, version)


def _stored(txn: Transaction, user_id: UserID, version: int) -> Stored:
    backup = _load(txn, user_id, version)
    return Stored(str(backup.etag), backup.key_count)
