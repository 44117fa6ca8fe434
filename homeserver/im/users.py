"""Users as the IM API shows them: oneself, others, and how to find them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from homeserver.errors import Forbidden, InvalidParam, NotFound, RemoteError
from homeserver.ids import ServerName, UserID, is_user_id, localpart_of
from homeserver.im.follower import Follower
from homeserver.im.people import People
from homeserver.im.settings import ignored_by, load_in
from homeserver.rooms.user_directory import UserDirectory
from homeserver.users.identifiers import Identifiers
from homeserver.users.profiles import AVATAR_URL, DISPLAY_NAME, Profiles
from storage import im_relations
from storage.database import Database
from storage.transaction import Transaction
from storage.users import Account

By = Literal["name", "id", "phone", "email"]
_MEDIUMS = {"phone": "msisdn", "email": "email"}
_looks_like_a_number = re.compile(r"\+?[0-9][0-9 ().-]{4,}").fullmatch


class PublicProfiles:
    """What everybody may know of somebody."""

    def __init__(self, profiles: Profiles, server_name: ServerName) -> None:
        self._profiles = profiles
        self._server_name = server_name

    def parse(self, user: str) -> UserID:
        """A user by their ID, or one of this server by their name.

        Raises:
            InvalidParam: nobody can be called so.
        """
        user_id = user if user.startswith("@") else f"@{user.lower()}:{self._server_name}"
        if not is_user_id(user_id):
            raise InvalidParam(f"{user!r} is neither a user ID nor a name")
        return UserID(user_id)

    async def load(self, viewer: UserID, user_id: UserID) -> dict[str, Any]:
        """The public part of somebody.

        Raises:
            NotFound: there is no such user.
            Forbidden: the server shows profiles only to those who share a room.
        """
        await self.check_may_look(viewer, user_id)
        return await self.of(user_id)

    async def check_may_look(self, viewer: UserID, user_id: UserID) -> None:
        """
        Raises:
            Forbidden: the server shows profiles only to those who share a room.
        """
        await self._profiles.check_may_look(viewer, user_id)

    async def of(self, user_id: UserID) -> dict[str, Any]:
        """The public part of somebody, whoever looks.

        Raises:
            NotFound: there is no such user.
        """
        return shown(user_id, await self._profiles.load(user_id))

    async def change(
        self, user_id: UserID, changes: Mapping[str, Any], own_fields: Mapping[str, Any]
    ) -> None:
        """Change one's name, picture and further fields; what is None is taken away.

        Raises:
            Forbidden: the server does not let users change a field.
            InvalidParam, KeyTooLarge, ProfileTooLarge: it cannot be so.
        """
        fields = {**changes, **own_fields}
        for field in fields:
            if not self._profiles.may_change(field):
                raise Forbidden(f"{field} is managed by the server")
        await self.write(user_id, fields)

    async def write(self, user_id: UserID, fields: Mapping[str, Any]) -> None:
        """Set fields, whoever may; what is None is taken away."""
        for field, value in fields.items():
            if value is None:
                await self._profiles.delete_field(user_id, field)
            else:
                await self._profiles.set_field(user_id, field, value)


class UserSearch:
    """Finds users."""

    def __init__(
        self,
        db: Database,
        directory: UserDirectory,
        identifiers: Identifiers,
        profiles: PublicProfiles,
        relations: Relations,
    ) -> None:
        self._db = db
        self._directory = directory
        self._identifiers = identifiers
        self._profiles = profiles
        self._relations = relations

    async def search(self, viewer: UserID, text: str, by: By | None, limit: int) -> list[dict[str, Any]]:
        """Those who are meant: by a part of their name, their whole ID or name, or their number or address.

        Numbers and addresses find only those who have said that they may.
        """
        wanted = text.strip()
        if not wanted or "\0" in wanted:
            return []
        found: dict[UserID, dict[str, Any]] = {}
        for account in await self._by_address(wanted, by):
            await self._add(viewer, account.user_id, found)
        if by in (None, "name", "id"):
            await self._by_id(viewer, wanted, found)
        if by in (None, "name"):
            users, _ = await self._directory.search(viewer, wanted, limit)
            for user in users:
                profile = {DISPLAY_NAME: user.display_name, AVATAR_URL: user.avatar_url}
                found.setdefault(user.user_id, shown(user.user_id, profile))
        chosen = list(found)[:limit]
        relations = await self._relations.of(viewer, chosen)
        return [{**found[user], "relation": relations[user]} for user in chosen]

    async def _by_id(self, viewer: UserID, text: str, found: dict[UserID, dict[str, Any]]) -> None:
        try:
            user_id = self._profiles.parse(text)
        except InvalidParam:
            return
        await self._add(viewer, user_id, found)

    async def _add(self, viewer: UserID, user_id: UserID, found: dict[UserID, dict[str, Any]]) -> None:
        try:
            found[user_id] = await self._profiles.load(viewer, user_id)
        except (NotFound, Forbidden, RemoteError):
            return

    async def _by_address(self, text: str, by: By | None) -> list[Account]:
        kinds = [by] if by is not None else ["email"] if "@" in text[1:] else ["phone"]
        if by is None and kinds == ["phone"] and _looks_like_a_number(text) is None:
            return []
        found = []
        for kind in kinds:
            if kind not in _MEDIUMS:
                continue
            identifier = {"type": "m.id.thirdparty", "medium": _MEDIUMS[kind], "address": text}
            account = await self._identifiers.find(identifier)
            if account is not None and not account.is_deactivated and await self._may_be_found(account):
                found.append(account)
        return found

    async def _may_be_found(self, account: Account) -> bool:
        return (await self._db.read(load_in, account.user_id))["discoverable"] is True


class Relations:
    """How others stand to somebody, and whether they are there."""

    def __init__(self, db: Database, follower: Follower, people: People) -> None:
        self._db = db
        self._follower = follower
        self._people = people

    async def of(self, viewer: UserID, users: list[UserID]) -> dict[UserID, str]:
        """self, blocked, friend, requested (by the viewer), requesting or none, for each."""
        await self._follower.settled()
        return await self._db.read(_relations, viewer, users)

    async def presence(self, viewer: UserID, users: list[UserID]) -> dict[UserID, dict[str, Any]]:
        """The presence of those whose it is the viewer's to see."""
        await self._follower.settled()
        seen = await self._people.visible(viewer, users)
        return {user: self._people.presence(user) for user in users if user in seen}


def shown(user_id: UserID, profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile in the words of this API; what users have added to it are `fields`."""
    name, avatar = profile.get(DISPLAY_NAME), profile.get(AVATAR_URL)
    fields = {key: value for key, value in profile.items() if key not in (DISPLAY_NAME, AVATAR_URL)}
    return {
        "user_id": user_id,
        "username": localpart_of(user_id),
        "nickname": name if isinstance(name, str) and name else localpart_of(user_id),
        "avatar": avatar if isinstance(avatar, str) else None,
        "fields": fields,
    }


def _relations(txn: Transaction, viewer: UserID, users: list[UserID]) -> dict[UserID, str]:
    blocked = ignored_by(txn, viewer)
    friends = im_relations.friends_among(txn, viewer, users)
    asked = im_relations.asked_among(txn, viewer, users)
    asking = im_relations.asking_among(txn, viewer, users)

    def relation(user: UserID) -> str:
        if user == viewer:
            return "self"
        if user in blocked:
            return "blocked"
        if user in friends:
            return "friend"
        return "requested" if user in asked else "requesting" if user in asking else "none"

    return {user: relation(user) for user in users}
