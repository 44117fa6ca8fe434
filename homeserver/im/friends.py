"""Friends: listing, looking at and parting from them, whom a user blocks, and whom two people both know."""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import UserID, domain_of
from homeserver.im.contacts import Contacts
from homeserver.im.follower import Follower
from homeserver.im.friend_requests import FriendRequests, RequestWriting
from homeserver.im.own_data import OwnData
from homeserver.im.people import People
from homeserver.im.settings import IGNORED, ignored_by, load_in
from homeserver.rooms.registry import Rooms
from storage import im_directs, im_moments, membership
from storage.database import Database
from storage.im_directs import Direct
from storage.transaction import Transaction

DELETED = "deleted"


class Friends:
    """The friends of users."""

    def __init__(
        self,
        db: Database,
        follower: Follower,
        people: People,
        contacts: Contacts,
        rooms: Rooms,
        writing: RequestWriting,
    ) -> None:
        self._db = db
        self._follower = follower
        self._people = people
        self._contacts = contacts
        self._rooms = rooms
        self._writing = writing

    async def page(
        self, user_id: UserID, *, after: tuple[str, str] | None, limit: int, category: str | None
    ) -> tuple[list[dict[str, Any]], list[Direct]]:
        """A page of the user's friends, as shown and as stored."""
        await self._follower.settled()
        found = await self._db.read(im_directs.friends, user_id, after=after, limit=limit, category=category)
        blocked = await self._db.read(ignored_by, user_id)
        shown = await self._people.nicknames(user_id, [friend.peer for friend in found])
        return [self._shown(friend, shown, friend.peer in blocked) for friend in found], found

    async def view(self, user_id: UserID, friend: UserID) -> dict[str, Any]:
        """
        Raises:
            NotFound: they are no friend.
        """
        direct = await self._load(user_id, friend)
        blocked = await self._db.read(ignored_by, user_id)
        shown = await self._people.nicknames(user_id, [friend])
        return self._shown(direct, shown, friend in blocked) | {"since_ts": direct.since_ms}

    async def ids(self, user_id: UserID) -> list[UserID]:
        await self._follower.settled()
        return await self._db.read(im_directs.friend_ids, user_id)

    async def are_friends(self, one: UserID, other: UserID) -> bool:
        await self._follower.settled()
        return await self._db.read(im_directs.are_friends, one, other)

    async def annotate(
        self, user_id: UserID, friend: UserID, *, remark: str | None, category: str | None
    ) -> dict[str, Any]:
        """Say what the user calls a friend, and where they belong.

        Raises:
            NotFound: they are no friend, or there is no such category.
        """
        direct = await self._load(user_id, friend)
        await self._contacts.note(user_id, friend, direct.room_id, remark=remark, category=category)
        return await self.view(user_id, friend)

    async def part(self, user_id: UserID, friend: UserID) -> None:
        """Leave every room that makes the two friends, so that whoever stays can refuse a later knock.

        Raises:
            NotFound: they are no friend.
        """
        await self._load(user_id, friend)
        for direct in await self._db.read(im_directs.between, user_id, friend):
            if not direct.friends:
                continue
            room = await self._rooms.load(direct.room_id)
            levels = dict(room.content("m.room.power_levels"))
            await self._writing.hand_over(direct.room_id, user_id, friend, levels)
            await self._writing.leave(direct.room_id, user_id, DELETED)

    async def mutual(self, user_id: UserID, friend: UserID) -> tuple[list[UserID], bool]:
        """Whom both know, and whether that is all.

        Raises:
            Forbidden: the other does not show their friends.
        """
        await self._follower.settled()
        if domain_of(friend) != domain_of(user_id):
            return await self._db.read(_mutual_abroad, user_id, friend)
        mine, theirs, shows = await self._db.read(_mutual, user_id, friend)
        if not shows:
            raise Forbidden(f"{friend} does not show their friends")
        return sorted(set(mine) & set(theirs)), True

    async def _load(self, user_id: UserID, friend: UserID) -> Direct:
        await self._follower.settled()
        for direct in await self._db.read(im_directs.between, user_id, friend):
            if direct.friends:
                return direct
        raise NotFound(f"{friend} is not your friend")

    @staticmethod
    def _shown(friend: Direct, people: dict[UserID, dict[str, Any]], is_blocked: bool) -> dict[str, Any]:  # noqa: FBT001  # called here only
        return {
            **people[friend.peer],
            "remark": friend.remark or "",
            "category_id": friend.category,
            "room_id": friend.room_id,
            "blocked": is_blocked,
        }


def _mutual(txn: Transaction, one: UserID, other: UserID) -> tuple[list[UserID], list[UserID], bool]:
    shows = bool(load_in(txn, other)["show_friends"])
    return im_directs.friend_ids(txn, one), im_directs.friend_ids(txn, other), shows


def _mutual_abroad(txn: Transaction, one: UserID, other: UserID) -> tuple[list[UserID], bool]:
    """Of a friend on another server one knows who reads their moments; of strangers, nothing."""
    mine = set(im_directs.friend_ids(txn, one))
    for room in im_moments.rooms_of(txn, other) if other in mine else []:
        readers = {each.user_id for each in membership.list_of_room(txn, room.room_id, "join")}
        if room.visibility == "friends" and one in readers:
            return sorted(readers & mine - {other}), True
    return [], False


class Blocks:
    """Whom users block: silently, by the list that all clients share."""

    def __init__(self, db: Database, own: OwnData, requests: FriendRequests) -> None:
        self._db = db
        self._own = own
        self._requests = requests

    async def blocked(self, user_id: UserID) -> list[UserID]:
        return sorted(await self._db.read(ignored_by, user_id))

    async def block(self, user_id: UserID, other: UserID) -> None:
        """Block somebody, and refuse what they ask just now.

        Raises:
            InvalidParam: nobody blocks themselves.
        """
        if other == user_id:
            raise InvalidParam("you cannot block yourself")

        def added(content: dict[str, Any]) -> dict[str, Any]:
            users = content.get("ignored_users")
            return {**content, "ignored_users": {**(users if isinstance(users, dict) else {}), other: {}}}

        await self._own.change(user_id, None, IGNORED, added)
        await self._requests.reject_all(user_id, other)

    async def unblock(self, user_id: UserID, other: UserID) -> None:
        def removed(content: dict[str, Any]) -> dict[str, Any]:
            users = content.get("ignored_users")
            kept = {
                key: value
                for key, value in (users if isinstance(users, dict) else {}).items()
                if key != other
            }
            return {**content, "ignored_users": kept}

        await self._own.change(user_id, None, IGNORED, removed)
