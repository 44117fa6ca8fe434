"""Account data that the IM API keeps for users: small JSON objects, which their other clients leave alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from homeserver.ids import RoomID, UserID
from homeserver.users.account_data import save_in
from storage import account_data as rows
from storage.database import Database
from storage.transaction import Transaction

Change = Callable[[dict[str, Any]], Mapping[str, Any]]


class OwnData:
    """Reads and changes account data; `room_id` None stands for the account as a whole."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self, user_id: UserID, room_id: RoomID | None, type: str) -> dict[str, Any]:
        """The object; empty if there is none."""
        return await self._db.read(find, user_id, room_id, type)

    async def change(self, user_id: UserID, room_id: RoomID | None, type: str, change: Change) -> None:
        """Make of the object what `change` makes of it; nothing is written if it is the same."""
        await self._db.run(change_in, user_id, room_id, type, change)

    async def merge(
        self, user_id: UserID, room_id: RoomID | None, type: str, values: Mapping[str, Any]
    ) -> None:
        """Set some keys; those that are None are taken away."""

        def merged(before: dict[str, Any]) -> Mapping[str, Any]:
            both = {**before, **values}
            return {key: value for key, value in both.items() if value is not None}

        await self.change(user_id, room_id, type, merged)


def find(txn: Transaction, user_id: UserID, room_id: RoomID | None, type: str) -> dict[str, Any]:
    content = rows.find(txn, user_id, room_id, type)
    # Clients may write anything there.
    value = None if content is None else msgspec.json.decode(content)
    return value if isinstance(value, dict) else {}


def change_in(txn: Transaction, user_id: UserID, room_id: RoomID | None, type: str, change: Change) -> None:
    before = find(txn, user_id, room_id, type)
    after = dict(change(dict(before)))
    if after != before:
        save_in(txn, user_id, room_id, type, after)
