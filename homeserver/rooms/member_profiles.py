"""Names and pictures in member events: where they come from, and how a changed profile reaches the user's rooms.

Spec: https://spec.matrix.org/v1.19/client-server-api/#events-on-change-of-profile-information
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.ids import UserID
from homeserver.rooms.registry import Rooms
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.tasks import Tasks
from storage import membership as membership_rows
from storage import profiles as profile_rows
from storage.database import Database

SHOWN_IN_ROOMS = ("displayname", "avatar_url")


class StoredMemberProfiles:
    """Reads what a member event says about its user."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def member_profile(self, user_id: UserID) -> dict[str, str]:
        """`displayname` and `avatar_url`, as far as the user has them."""
        fields = await self._db.read(profile_rows.list_fields, user_id)
        values = {key: msgspec.json.decode(fields[key]) for key in SHOWN_IN_ROOMS if key in fields}
        return {key: value for key, value in values.items() if isinstance(value, str) and value}


class ProfilePropagation:
    """Carries a changed profile into the rooms that the user is in."""

    def __init__(
        self, db: Database, rooms: Rooms, writer: RoomWriter, profiles: StoredMemberProfiles, tasks: Tasks
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._writer = writer
        self._profiles = profiles
        self._tasks = tasks

    async def profile_changed(self, user_id: UserID, field: str, value: Any) -> None:
        """Begin to send new member events; who has many rooms need not wait for them all."""
        if field in SHOWN_IN_ROOMS:
            self._tasks.spawn(f"profile of {user_id}", self._carry(user_id))

    async def _carry(self, user_id: UserID) -> None:
        for membership in await self._db.read(membership_rows.list_of_user, user_id):
            if membership.membership != "join":
                continue
            profile = await self._profiles.member_profile(user_id)
            room = await self._rooms.find_or_load(membership.room_id)
            # From here to the write nothing is waited for: who is leaving must not be brought back by their new name.
            own = None if room is None else room.head_state.get(("m.room.member", user_id))
            if room is None or own is None or own.content.get("membership") != "join":
                continue
            before = own.content
            kept = {key: each for key, each in before.items() if key not in SHOWN_IN_ROOMS}
            kept.pop("join_authorised_via_users_server", None)
            kept.pop("reason", None)
            content = {**kept, "membership": "join", **profile}
            if content == dict(before):
                continue
            try:
                await self._writer.send(
                    room.room_id, Draft("m.room.member", user_id, content, state_key=user_id)
                )
            except Forbidden:
                # The room does not let the user say who they are (any more); their other rooms may.
                continue
