"""People as the IM API shows them: their names and pictures, whether they are there, and how they stand to who asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from homeserver.ids import ServerName, UserID, domain_of, localpart_of
from homeserver.presence.modes import Mode
from homeserver.presence.presence import Presence
from homeserver.runtime.clock import Clock
from storage import im_relations, membership, profiles
from storage.database import Database
from storage.transaction import Transaction

Scope = Literal["friends", "rooms", "nobody"]
"""Who sees who is there."""

_SHOWN = ("displayname", "avatar_url")


class People:
    """Shows users. Of other servers' users it tells what rooms of two say of them."""

    def __init__(
        self, db: Database, presence: Presence, clock: Clock, *, server_name: ServerName, scope: Scope
    ) -> None:
        self._scope = scope
        self._db = db
        self._presence = presence
        self._clock = clock
        self._server_name = server_name

    async def nicknames(self, viewer: UserID, users: Iterable[UserID]) -> dict[UserID, dict[str, Any]]:
        """The public part of each, with the presence of those whose it is the viewer's to see."""
        wanted = list(dict.fromkeys(users))
        named, seen = await self._db.read(self._load, viewer, wanted)
        return {
            user: {**named[user], "presence": self.presence(user)} if user in seen else named[user]
            for user in wanted
        }

    async def visible(self, viewer: UserID, users: Sequence[UserID]) -> set[UserID]:
        """Those whose presence the viewer may see."""
        return await self._db.read(self._visible, viewer, users)

    def _load(
        self, txn: Transaction, viewer: UserID, users: list[UserID]
    ) -> tuple[dict[UserID, dict[str, Any]], set[UserID]]:
        ours = [user for user in users if domain_of(user) == self._server_name]
        stored = profiles.of_users(txn, ours, _SHOWN)
        named = {
            user: _public(
                user,
                {key: msgspec.json.decode(value) for key, value in stored.get(user, {}).items()}
                if domain_of(user) == self._server_name
                else _known_elsewhere(txn, user),
            )
            for user in users
        }
        return named, self._visible(txn, viewer, users)

    def _visible(self, txn: Transaction, viewer: UserID, users: Sequence[UserID]) -> set[UserID]:
        oneself = {viewer} & set(users)
        if self._scope == "nobody":
            return oneself
        friends = im_relations.friends_among(txn, viewer, users)
        if self._scope == "friends":
            return friends | oneself
        others = set(users) - friends
        return friends | oneself | {user for user in others if membership.rooms_shared(txn, viewer, user)}

    def presence(self, user_id: UserID) -> dict[str, Any]:
        """Whether somebody is there, as far as this server knows."""
        state = self._presence.find(user_id)
        if state is None:
            return {"status": "offline"}
        shown = state.content(self._clock.now_ms())
        status = {"unavailable": "away"}.get(state.presence, state.presence)
        if status == "away" and self._presence.mode_of(user_id) is Mode.BUSY:
            status = "busy"
        found: dict[str, Any] = {"status": status}
        if "last_active_ago" in shown:
            found["last_active_ago"] = shown["last_active_ago"]
        if state.status_msg:
            found["message"] = state.status_msg
        return found


def _known_elsewhere(txn: Transaction, user: UserID) -> Mapping[str, Any]:
    """What the rooms that we share with another server's user say of them."""
    content = txn.value(
        "SELECT e.json FROM membership m JOIN events e ON e.number = m.event WHERE m.user_name = ?"
        " AND m.membership IN ('join', 'invite', 'knock') ORDER BY m.position DESC LIMIT 1",
        txn.find_interned(user),
    )
    found: Mapping[str, Any] = {} if content is None else msgspec.json.decode(content).get("content", {})
    return found


def _public(user: UserID, profile: Mapping[str, Any]) -> dict[str, Any]:
    name, avatar = profile.get("displayname"), profile.get("avatar_url")
    return {
        "user_id": user,
        "username": localpart_of(user),
        "nickname": name if isinstance(name, str) and name else localpart_of(user),
        "avatar": avatar if isinstance(avatar, str) else None,
    }
