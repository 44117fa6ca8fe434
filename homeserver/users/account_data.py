"""Account data: JSON objects that a user's clients keep on the server, for the account or for one room.

Spec: https://spec.matrix.org/v1.19/client-server-api/#client-config
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.errors import BadJson, InvalidParam, NotFound
from homeserver.ids import RoomID, UserID
from homeserver.runtime.notifier import LogKind
from storage import account_data as rows
from storage.database import Database
from storage.transaction import Transaction

MAX_TYPE_BYTES = 255
SERVER_TYPES = frozenset({"m.fully_read", "m.push_rules"})
"""What only the server writes."""

TAGS = "m.tag"


def check_type(type: str) -> None:
    """Refuse what cannot be a type.

    Raises:
        InvalidParam: it is empty or too long.
    """
    if not type or len(type.encode("utf-8", "surrogatepass")) > MAX_TYPE_BYTES or "\0" in type:
        raise InvalidParam(f"a type has between 1 and {MAX_TYPE_BYTES} bytes")


class AccountData:
    """Reads and writes account data; `room_id` None stands for the account as a whole."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self, user_id: UserID, room_id: RoomID | None, type: str) -> bytes:
        """The content, as JSON.

        Raises:
            NotFound: there is none of this type.
        """
        check_type(type)
        content = await self._db.read(rows.find, user_id, room_id, type)
        if content is None:
            raise NotFound(f"no account data of type {type}")
        return content

    async def set(
        self, user_id: UserID, room_id: RoomID | None, type: str, content: Mapping[str, Any]
    ) -> None:
        """Store what a client has sent.

        Raises:
            BadJson: only the server writes this type.
            InvalidParam: this is no type.
        """
        check_type(type)
        if type in SERVER_TYPES:
            raise BadJson(f"{type} cannot be set through this API", status=405)
        await self._db.run(save_in, user_id, room_id, type, content)


class Tags:
    """The tags by which a user sorts rooms: one account data object a room.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#room-tagging
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """The room's tags with what is known of each."""
        return await self._db.read(_find_tags, user_id, room_id)

    async def set(self, user_id: UserID, room_id: RoomID, tag: str, details: Mapping[str, Any]) -> None:
        """Give the room a tag, or its tag other details.

        Raises:
            InvalidParam: this cannot be a tag, or `order` is no number.
        """
        if not tag or len(tag.encode("utf-8", "surrogatepass")) > MAX_TYPE_BYTES:
            raise InvalidParam(f"a tag has between 1 and {MAX_TYPE_BYTES} bytes")
        order = details.get("order")
        if order is not None and (isinstance(order, bool) or not isinstance(order, int | float)):
            raise InvalidParam("order must be a number")
        await self._db.run(_set_tag, user_id, room_id, tag, details)

    async def delete(self, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """Take a tag from the room; one that is not there is gone already."""
        await self._db.run(_delete_tag, user_id, room_id, tag)


def save_in(
    txn: Transaction, user_id: UserID, room_id: RoomID | None, type: str, content: Mapping[str, Any]
) -> None:
    """Store account data of any type, even the server's; the log entry's payload is the JSON."""
    encoded = msgspec.json.encode(content)
    if room_id is None:
        position = txn.log(LogKind.ACCOUNT_DATA, user_id=user_id, ref=type, payload=encoded)
    else:
        position = txn.log(
            LogKind.ROOM_ACCOUNT_DATA, room_id=room_id, user_id=user_id, ref=type, payload=encoded
        )
    rows.save(txn, user_id, room_id, type, encoded, position)


def _find_tags(txn: Transaction, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
    content = rows.find(txn, user_id, room_id, TAGS)
    tags = {} if content is None else msgspec.json.decode(content).get("tags")
    # Clients may also write m.tag whole, and write anything into it.
    return tags if isinstance(tags, dict) else {}


def _set_tag(
    txn: Transaction, user_id: UserID, room_id: RoomID, tag: str, details: Mapping[str, Any]
) -> None:
    save_in(txn, user_id, room_id, TAGS, {"tags": {**_find_tags(txn, user_id, room_id), tag: details}})


def _delete_tag(txn: Transaction, user_id: UserID, room_id: RoomID, tag: str) -> None:
    tags = _find_tags(txn, user_id, room_id)
    if tags.pop(tag, None) is not None:
        save_in(txn, user_id, room_id, TAGS, {"tags": tags})
