"""Who is a friend of whom, and what friends may do without asking."""

from __future__ import annotations

import msgspec

from homeserver.ids import NAMESPACE, UserID
from homeserver.im.follower import Follower
from homeserver.im.friend_projection import FriendProjection
from storage import account_data, im_directs
from storage.database import Database
from storage.transaction import Transaction

SETTINGS = f"{NAMESPACE}settings"


class Acquaintances:
    """Asks the projection of friendships, once it has everything that was announced."""

    def __init__(self, db: Database, follower: Follower) -> None:
        self._db = db
        self._follower = follower

    async def settled(self) -> None:
        """Wait until everything that has been announced of friendships is known."""
        await self._follower.settled(FriendProjection)

    async def friends_of(self, user_id: UserID) -> list[UserID]:
        await self._follower.settled(FriendProjection)
        return await self._db.read(im_directs.friend_ids, user_id)

    async def are_friends(self, one: UserID, other: UserID) -> bool:
        """Whether they are friends; one of them at least is a user of this server."""
        await self._follower.settled(FriendProjection)
        return await self._db.read(_are_friends, one, other)

    async def may_add(self, who: UserID, whom: UserID) -> bool:
        """Whether `whom` lets friends put them into groups, and `who` is one."""
        await self._follower.settled(FriendProjection)
        return await self._db.read(_may_add, who, whom)


def _are_friends(txn: Transaction, one: UserID, other: UserID) -> bool:
    return im_directs.are_friends(txn, one, other) or im_directs.are_friends(txn, other, one)


def _may_add(txn: Transaction, who: UserID, whom: UserID) -> bool:
    stored = account_data.find(txn, whom, None, SETTINGS)
    if stored is None:
        return False
    settings = msgspec.json.decode(stored)
    allows = isinstance(settings, dict) and settings.get("auto_join_groups") is True
    return allows and _are_friends(txn, who, whom)
