"""Backups of room keys.

Spec: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.key_backup import KeyBackups, Stored
from homeserver.errors import NotFound
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID
from storage.key_backup import BackedUpKey, Backup

MAX_BODY = 8 * 1024 * 1024
"""A client backs up some hundred keys at a time, of a kilobyte each."""

_UNSTABLE = "/_matrix/client/unstable/room_keys"
_STABLE = "/_matrix/client/v3/room_keys"
_encode = msgspec.json.encode


class NewBackup(msgspec.Struct):
    """How the keys of a version are sealed."""

    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class KeyBackupData(msgspec.Struct):
    """The sealed key of one session."""

    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: dict[str, Any]


class RoomKeyBackup(msgspec.Struct):
    """The keys of a room, by session."""

    sessions: dict[str, KeyBackupData]


class KeyBackup(msgspec.Struct):
    """Keys by room."""

    rooms: dict[RoomID, RoomKeyBackup]


class OfVersion(msgspec.Struct):
    """The version that keys belong to."""

    version: str


def _row(room_id: str, session_id: str, key: KeyBackupData) -> BackedUpKey:
    return BackedUpKey(
        room_id,
        session_id,
        key.first_message_index,
        key.forwarded_count,
        key.is_verified,
        _encode(key.session_data),
    )


def _shown(key: BackedUpKey) -> dict[str, Any]:
    return {
        "first_message_index": key.first_message_index,
        "forwarded_count": key.forwarded_count,
        "is_verified": key.is_verified,
        "session_data": msgspec.Raw(key.session_data),
    }


def _backup_answer(backup: Backup) -> dict[str, Any]:
    return {
        "algorithm": backup.algorithm,
        "auth_data": msgspec.Raw(backup.auth_data),
        "count": backup.key_count,
        "etag": str(backup.etag),
        "version": str(backup.version),
    }


def _stored_answer(stored: Stored) -> dict[str, Any]:
    return {"etag": stored.etag, "count": stored.key_count}


class RoomKeyEndpoints:
    """Versions of backups, and their keys at three levels."""

    def __init__(self, backups: KeyBackups) -> None:
        self._backups = backups

    @endpoint(
        "POST", f"{_STABLE}/version", aliases=(f"{_UNSTABLE}/version",), rate_limit=RateLimit("room_keys")
    )
    async def post_room_keys_version(self, who: Requester, body: NewBackup) -> dict[str, Any]:
        """Begin a new version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3room_keysversion
        """
        return {"version": await self._backups.create(who.user_id, body.algorithm, body.auth_data)}

    @endpoint(
        "GET", f"{_STABLE}/version", aliases=(f"{_UNSTABLE}/version",), rate_limit=RateLimit("room_keys")
    )
    async def get_room_keys_version_current(self, who: Requester) -> dict[str, Any]:
        """The current version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversion
        """
        return _backup_answer(await self._backups.load(who.user_id, None))

    @endpoint(
        "GET",
        f"{_STABLE}/version/{{version}}",
        aliases=(f"{_UNSTABLE}/version/{{version}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def get_room_keys_version(self, who: Requester, version: str) -> dict[str, Any]:
        """One version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversionversion
        """
        return _backup_answer(await self._backups.load(who.user_id, version))

    @endpoint(
        "PUT",
        f"{_STABLE}/version/{{version}}",
        aliases=(f"{_UNSTABLE}/version/{{version}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def put_room_keys_version(self, who: Requester, version: str, body: NewBackup) -> Empty:
        """Change the data by which a version is trusted.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keysversionversion
        """
        await self._backups.update(who.user_id, version, body.algorithm, body.auth_data, body.version)
        return Empty()

    @endpoint(
        "DELETE",
        f"{_STABLE}/version/{{version}}",
        aliases=(f"{_UNSTABLE}/version/{{version}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def delete_room_keys_version(self, who: Requester, version: str) -> Empty:
        """Delete a version with its keys.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keysversionversion
        """
        await self._backups.delete(who.user_id, version)
        return Empty()

    @endpoint(
        "PUT",
        f"{_STABLE}/keys",
        aliases=(f"{_UNSTABLE}/keys",),
        rate_limit=RateLimit("room_keys"),
        max_body=MAX_BODY,
    )
    async def put_room_keys(self, who: Requester, query: OfVersion, body: KeyBackup) -> dict[str, Any]:
        """Keep keys of several rooms.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeys
        """
        keys = [
            _row(room_id, session_id, key)
            for room_id, of_room in body.rooms.items()
            for session_id, key in of_room.sessions.items()
        ]
        return _stored_answer(await self._backups.put_keys(who.user_id, query.version, keys))

    @endpoint(
        "PUT",
        f"{_STABLE}/keys/{{room_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}",),
        rate_limit=RateLimit("room_keys"),
        max_body=MAX_BODY,
    )
    async def put_room_keys_by_room_id(
        self, who: Requester, room_id: RoomID, query: OfVersion, body: RoomKeyBackup
    ) -> dict[str, Any]:
        """Keep keys of one room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomid
        """
        keys = [_row(room_id, session_id, key) for session_id, key in body.sessions.items()]
        return _stored_answer(await self._backups.put_keys(who.user_id, query.version, keys))

    @endpoint(
        "PUT",
        f"{_STABLE}/keys/{{room_id}}/{{session_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}/{{session_id}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def put_room_key_by_session_id(
        self, who: Requester, room_id: RoomID, session_id: str, query: OfVersion, body: KeyBackupData
    ) -> dict[str, Any]:
        """Keep the key of one session.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid
        """
        key = _row(room_id, session_id, body)
        return _stored_answer(await self._backups.put_keys(who.user_id, query.version, [key]))

    @endpoint("GET", f"{_STABLE}/keys", aliases=(f"{_UNSTABLE}/keys",), rate_limit=RateLimit("room_keys"))
    async def get_room_keys(self, who: Requester, query: OfVersion) -> dict[str, Any]:
        """All keys of a version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeys
        """
        rooms: dict[str, dict[str, dict[str, Any]]] = {}
        for key in await self._backups.list_keys(who.user_id, query.version):
            rooms.setdefault(key.room_id, {"sessions": {}})["sessions"][key.session_id] = _shown(key)
        return {"rooms": rooms}

    @endpoint(
        "GET",
        f"{_STABLE}/keys/{{room_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def get_room_keys_by_room_id(
        self, who: Requester, room_id: RoomID, query: OfVersion
    ) -> dict[str, Any]:
        """The keys of one room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomid
        """
        keys = await self._backups.list_keys(who.user_id, query.version, room_id)
        return {"sessions": {key.session_id: _shown(key) for key in keys}}

    @endpoint(
        "GET",
        f"{_STABLE}/keys/{{room_id}}/{{session_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}/{{session_id}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def get_room_key_by_session_id(
        self, who: Requester, room_id: RoomID, session_id: str, query: OfVersion
    ) -> dict[str, Any]:
        """The key of one session.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid
        """
        keys = await self._backups.list_keys(who.user_id, query.version, room_id, session_id)
        if not keys:
            raise NotFound("no key of this session")
        return _shown(keys[0])

    @endpoint("DELETE", f"{_STABLE}/keys", aliases=(f"{_UNSTABLE}/keys",), rate_limit=RateLimit("room_keys"))
    async def delete_room_keys(self, who: Requester, query: OfVersion) -> dict[str, Any]:
        """Delete all keys of a version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeys
        """
        return _stored_answer(await self._backups.delete_keys(who.user_id, query.version))

    @endpoint(
        "DELETE",
        f"{_STABLE}/keys/{{room_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def delete_room_keys_by_room_id(
        self, who: Requester, room_id: RoomID, query: OfVersion
    ) -> dict[str, Any]:
        """Delete the keys of one room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeysroomid
        """
        return _stored_answer(await self._backups.delete_keys(who.user_id, query.version, room_id))

    @endpoint(
        "DELETE",
        f"{_STABLE}/keys/{{room_id}}/{{session_id}}",
        aliases=(f"{_UNSTABLE}/keys/{{room_id}}/{{session_id}}",),
        rate_limit=RateLimit("room_keys"),
    )
    async def delete_room_key_by_session_id(
        self, who: Requester, room_id: RoomID, session_id: str, query: OfVersion
    ) -> dict[str, Any]:
        """Delete the key of one session.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid
        """
        return _stored_answer(
            await self._backups.delete_keys(who.user_id, query.version, room_id, session_id)
        )
