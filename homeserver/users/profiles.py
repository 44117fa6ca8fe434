"""Profiles: display name, avatar, time zone and custom fields of users, here or (on demand) elsewhere.

Spec: https://spec.matrix.org/v1.19/client-server-api/#profiles
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from homeserver.errors import Forbidden, InvalidParam, MatrixError, MissingToken, NotFound
from homeserver.ids import ServerName, UserID, domain_of
from homeserver.runtime.notifier import LogKind
from storage import membership, users
from storage import profiles as profile_rows
from storage.database import Database
from storage.transaction import Transaction

MAX_PROFILE_BYTES = 65_536
MAX_KEY_BYTES = 255
MAX_DISPLAY_NAME = 256
MAX_AVATAR_URL = 1000

DISPLAY_NAME = "displayname"
AVATAR_URL = "avatar_url"

_KEY = re.compile(r"avatar_url|displayname|[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)+", re.ASCII)
_MXC = re.compile(r"mxc://[^/\s]+/[A-Za-z0-9_-]+")

Listener = Callable[[UserID, str, Any], Awaitable[None]]
"""Told (user, field, new value or None) after the change is committed; the answer to the client waits for it.
"""


class ProfileTooLarge(MatrixError):
    errcode = "M_PROFILE_TOO_LARGE"


class KeyTooLarge(MatrixError):
    errcode = "M_KEY_TOO_LARGE"


class RemoteProfiles(Protocol):
    """Asks other servers for their users' profiles."""

    async def query_profile(self, user_id: UserID, field: str | None) -> dict[str, Any]:
        """The profile, or just one field of it.

        Raises:
            NotFound: the user or the field does not exist there, or the server did not answer.
        """


def check_key(key: str) -> None:
    """Refuse what may not be the name of a profile field.

    Raises:
        KeyTooLarge: it is longer than `MAX_KEY_BYTES`.
        InvalidParam: it is not in the grammar of namespaced identifiers.
    """
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise KeyTooLarge(f"a profile key has at most {MAX_KEY_BYTES} bytes")
    if _KEY.fullmatch(key) is None:
        raise InvalidParam(f"{key!r} is not a profile key")


def _clean(key: str, value: Any) -> Any:
    """The value to store; None where it stands for nothing.

    COMPAT(clients): an empty or null display name or avatar means that it is taken away.
    """
    if key == DISPLAY_NAME:
        if value is not None and not isinstance(value, str):
            raise InvalidParam("displayname must be a string")
        if value and len(value) > MAX_DISPLAY_NAME:
            raise InvalidParam(f"a display name has at most {MAX_DISPLAY_NAME} characters")
        return value or None
    if key == AVATAR_URL:
        if value is not None and not isinstance(value, str):
            raise InvalidParam("avatar_url must be a string")
        if value and (len(value) > MAX_AVATAR_URL or _MXC.fullmatch(value) is None):
            raise InvalidParam("avatar_url must be an MXC URI")
        return value or None
    if key == "m.tz" and not isinstance(value, str):
        raise InvalidParam("m.tz must be a string")
    return value


class Profiles:
    """Reads and changes profiles.

    `allowed` are the only fields that users may change themselves (None: all), `disallowed` those they may
    not.
    """

    def __init__(
        self,
        db: Database,
        server_name: ServerName,
        remote: RemoteProfiles | None = None,
        *,
        require_auth: bool = False,
        limit_to_shared_rooms: bool = False,
        allowed: frozenset[str] | None = None,
        disallowed: frozenset[str] = frozenset(),
    ) -> None:
        self._db = db
        self._server_name = server_name
        self._remote = remote
        self._require_auth = require_auth or limit_to_shared_rooms
        self._limit_to_shared_rooms = limit_to_shared_rooms
        self._allowed = allowed
        self._disallowed = disallowed
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` carry changes further, into member events and presence."""
        self._listeners.append(listener)

    def may_change(self, field: str) -> bool:
        """Whether users may change this field themselves."""
        return field in self._allowed if self._allowed is not None else field not in self._disallowed

    def capability(self) -> dict[str, Any]:
        """The value of `m.profile_fields`."""
        if self._allowed is not None:
            return {"enabled": bool(self._allowed), "allowed": sorted(self._allowed)}
        if self._disallowed:
            return {"enabled": True, "disallowed": sorted(self._disallowed)}
        return {"enabled": True}

    async def check_may_look(self, who: UserID | None, user_id: UserID) -> None:
        """Whether somebody may see a profile, as the server is configured.

        Raises:
            MissingToken: only users of this server may.
            Forbidden: they share no room.
        """
        if not self._require_auth or who == user_id:
            return
        if who is None:
            raise MissingToken("profiles are only shown to users of this server")
        if self._limit_to_shared_rooms and not await self._db.read(membership.rooms_shared, who, user_id):
            raise Forbidden("you share no room with this user")

    async def load(self, user_id: UserID) -> dict[str, Any]:
        """A whole profile.

        Raises:
            NotFound: there is no such user.
        """
        if domain_of(user_id) != self._server_name:
            return await self._ask(user_id, None)
        fields = await self._db.read(_load_local, user_id)
        if fields is None:
            raise NotFound(f"no profile of {user_id}")
        return {field: msgspec.json.decode(value) for field, value in fields.items()}

    async def load_field(self, user_id: UserID, field: str) -> Any:
        """One field of a profile.

        Raises:
            NotFound: there is no such user or field.
        """
        check_key(field)
        if domain_of(user_id) != self._server_name:
            profile = await self._ask(user_id, field)
            if field not in profile:
                raise NotFound(f"{user_id} has no {field}")
            return profile[field]
        value = await self._db.read(profile_rows.find_field, user_id, field)
        if value is None:
            raise NotFound(f"{user_id} has no {field}")
        return msgspec.json.decode(value)

    async def set_field(self, user_id: UserID, field: str, value: Any) -> None:
        """Set a field of a local user's profile.

        Raises:
            InvalidParam: the field cannot have this name or value.
            KeyTooLarge: the field's name is too long.
            ProfileTooLarge: the profile would exceed its limit.
        """
        check_key(field)
        cleaned = _clean(field, value)
        if cleaned is None and field in (DISPLAY_NAME, AVATAR_URL):
            await self.delete_field(user_id, field)
        elif await self._db.run(self.save_in, user_id, field, cleaned):
            await self._tell(user_id, field, cleaned)

    async def delete_field(self, user_id: UserID, field: str) -> None:
        """Take a field away; one that is not there is gone already."""
        check_key(field)
        if await self._db.run(_delete, user_id, field):
            await self._tell(user_id, field, None)

    def save_in(self, txn: Transaction, user_id: UserID, field: str, value: Any) -> bool:
        """Set a field in the transaction of the caller; False if it has that value already."""
        encoded = msgspec.json.encode(value)
        fields = profile_rows.list_fields(txn, user_id)
        if fields.get(field) == encoded:
            return False
        fields[field] = encoded
        if sum(len(key.encode()) + len(json) + 4 for key, json in fields.items()) + 1 > MAX_PROFILE_BYTES:
            raise ProfileTooLarge(f"a profile has at most {MAX_PROFILE_BYTES} bytes")
        profile_rows.save_field(txn, user_id, field, encoded)
        txn.log(LogKind.PROFILE, user_id=user_id, ref=field, payload=value)
        return True

    async def _ask(self, user_id: UserID, field: str | None) -> dict[str, Any]:
        if self._remote is None:
            raise NotFound(f"no profile of {user_id}")
        return await self._remote.query_profile(user_id, field)

    async def _tell(self, user_id: UserID, field: str, value: Any) -> None:
        for listener in self._listeners:
            await listener(user_id, field, value)


def _load_local(txn: Transaction, user_id: UserID) -> dict[str, bytes] | None:
    account = users.find(txn, user_id)
    if account is None:
        return None
    fields = profile_rows.list_fields(txn, user_id)
    return None if account.is_deactivated and not fields else fields


def _delete(txn: Transaction, user_id: UserID, field: str) -> bool:
    if not profile_rows.delete_field(txn, user_id, field):
        return False
    txn.log(LogKind.PROFILE, user_id=user_id, ref=field)
    return True
