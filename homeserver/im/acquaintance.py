"""Who is a friend of whom, as the direct rooms say: two people who share one, and nobody else in it."""

from __future__ import annotations

import msgspec

from homeserver.ids import NAMESPACE, UserID
from storage import account_data, membership
from storage.database import Database
from storage.transaction import Transaction

SETTINGS = f"{NAMESPACE}settings"


class DirectFriends:
    """Friends by `m.direct`: the user's own list, as far as both are still in the room that it names."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def friends_of(self, user_id: UserID) -> list[UserID]:
        return await self._db.read(_friends_of, user_id)

    async def are_friends(self, one: UserID, other: UserID) -> bool:
        return await self._db.read(_are_friends, one, other)

    async def may_add(self, who: UserID, whom: UserID) -> bool:
        """Whether `whom` lets friends put them into groups, and `who` is one."""
        return await self._db.read(_may_add, who, whom)


def _direct(txn: Transaction, user_id: UserID) -> dict[str, list[str]]:
    stored = account_data.find(txn, user_id, None, "m.direct")
    try:
        return {} if stored is None else msgspec.json.decode(stored, type=dict[str, list[str]])
    except msgspec.DecodeError:
        # A client has written something else there; it names no friends.
        return {}


def _friends_of(txn: Transaction, user_id: UserID) -> list[UserID]:
    return [UserID(other) for other in _direct(txn, user_id) if _share(txn, user_id, UserID(other))]


def _are_friends(txn: Transaction, one: UserID, other: UserID) -> bool:
    return _share(txn, one, other)


def _share(txn: Transaction, one: UserID, other: UserID) -> bool:
    """Whether they are both in a room that one of them calls direct."""
    rooms = {*_direct(txn, one).get(other, ()), *_direct(txn, other).get(one, ())}
    return any(
        membership.is_joined(txn, room, one) and membership.is_joined(txn, room, other) for room in rooms
    )


def _may_add(txn: Transaction, who: UserID, whom: UserID) -> bool:
    stored = account_data.find(txn, whom, None, SETTINGS)
    if stored is None:
        return False
    settings = msgspec.json.decode(stored)
    allows = isinstance(settings, dict) and settings.get("auto_join_groups") is True
    return allows and _are_friends(txn, who, whom)
