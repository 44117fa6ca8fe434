"""The rooms of a user's moments: one for everybody, one for friends, one for nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import DeferredLock

from homeserver.ids import NAMESPACE, RoomAlias, RoomID, ServerName, UserID, localpart_of
from homeserver.im.follower import Follower
from homeserver.im.moment_shapes import MOMENTS, VISIBILITY, Audience
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.creation import NewRoom, RoomCreation, StateDraft
from storage import im_moments as moment_rows
from storage.database import Database

_NAMES: dict[str, str] = {"public": "public moments", "friends": "moments", "private": "private moments"}


@dataclass(slots=True, frozen=True)
class MomentsDefaults:
    room_version: str
    server_name: ServerName


class MomentsRooms:
    """Finds a user's moments rooms, and makes those that are missing."""

    def __init__(
        self,
        db: Database,
        follower: Follower,
        creation: RoomCreation,
        aliases: Aliases,
        defaults: MomentsDefaults,
    ) -> None:
        self._db = db
        self._follower = follower
        self._creation = creation
        self._aliases = aliases
        self._defaults = defaults
        self._making = DeferredLock()

    async def find(self, author: UserID, audience: Audience) -> RoomID | None:
        """The author's room for these readers, if this server knows it."""
        await self._follower.settled()
        rooms = await self._db.read(moment_rows.rooms_of, author)
        return next((room.room_id for room in rooms if room.visibility == audience), None)

    async def ensure(self, author: UserID, audience: Audience) -> RoomID:
        """The room of a local author; it is made if there is none."""
        found = await self.find(author, audience)
        if found is not None:
            return found
        await self._making.acquire()
        try:
            found = await self.find(author, audience)
            return await self._make(author, audience) if found is None else found
        finally:
            self._making.release()

    def public_alias(self, author: UserID, server: ServerName) -> RoomAlias:
        """The name by which other servers find the public room of an author."""
        return RoomAlias(f"#{NAMESPACE}moments.{localpart_of(author)}:{server}")

    async def _make(self, author: UserID, audience: Audience) -> RoomID:
        is_public = audience == "public"
        alias: RoomAlias | None = None
        if is_public:
            alias = self.public_alias(author, self._defaults.server_name)
            # Somebody may have taken the name; the room is the same without it, only not found from elsewhere.
            alias = None if await self._aliases.find(alias) is not None else alias
        state = [
            StateDraft("m.room.join_rules", {"join_rule": "public" if is_public else "invite"}),
            StateDraft(
                "m.room.history_visibility",
                {"history_visibility": "world_readable" if is_public else "shared"},
            ),
            StateDraft("m.room.guest_access", {"guest_access": "forbidden"}),
        ]
        room = await self._creation.create(
            NewRoom(
                author,
                self._defaults.room_version,
                alias=alias,
                name=f"{localpart_of(author)}: {_NAMES[audience]}",
                creation_content={"type": MOMENTS, VISIBILITY: audience},
                initial_state=state,
                power_levels=_levels(),
                encrypted=False,
            )
        )
        return room.room_id


def _levels() -> dict[str, Any]:
    """Readers may comment and like, and nothing else."""
    return {
        "users_default": 0,
        "events_default": 0,
        "state_default": 100,
        "invite": 100,
        "kick": 100,
        "ban": 100,
        "redact": 50,
        "events": {"m.room.redaction": 0, "m.reaction": 0},
        "notifications": {"room": 100},
    }
