"""Room upgrades: a new room of another version that takes the old one's place.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeserver.errors import Forbidden, UnsupportedRoomVersion
from homeserver.events.room_versions import room_version
from homeserver.ids import RoomID, UserID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.creation import NewRoom, RoomCreation, StateDraft, UnsupportedVersion
from homeserver.rooms.directory import Directory
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.writer import Draft, RoomWriter

CARRIED_OVER = (
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.power_levels",
)
RESTRICTED_LEVEL = 50


class RoomUpgrades:
    """Moves rooms to other versions."""

    def __init__(
        self,
        writer: RoomWriter,
        access: RoomAccess,
        creation: RoomCreation,
        aliases: Aliases,
        directory: Directory,
    ) -> None:
        self._writer = writer
        self._access = access
        self._creation = creation
        self._aliases = aliases
        self._directory = directory

    async def upgrade(
        self, room_id: RoomID, user_id: UserID, new_version: str, *, additional_creators: Sequence[str] = ()
    ) -> RoomID:
        """Make the new room, point the old one at it, and let nobody talk in the old one any more.

        Raises:
            UnsupportedVersion: Hearth does not know the version.
            Forbidden: the user may not send tombstones into the room.
        """
        try:
            version = room_version(new_version)
        except UnsupportedRoomVersion as error:
            raise UnsupportedVersion(str(error)) from error
        old = await self._access.joined(room_id, user_id)
        levels = old.power_levels
        if levels.user(user_id) < levels.event("m.room.tombstone", is_state=True):
            raise Forbidden("you may not upgrade this room")
        last = next(iter(old.head.extremities), None)
        creation: dict[str, Any] = {
            key: value
            for key, value in old.content("m.room.create").items()
            if key not in ("creator", "room_version", "predecessor", "additional_creators")
        }
        creation["predecessor"] = {"room_id": room_id, **({"event_id": last} if last is not None else {})}
        if additional_creators:
            creation["additional_creators"] = list(additional_creators)
        power_levels = self._power_levels(
            old, user_id, additional_creators, privileged=version.creators_are_almighty
        )
        initial = [
            StateDraft(kind, dict(old.content(kind)))
            for kind in CARRIED_OVER
            if kind != "m.room.power_levels" and old.find_state(kind) is not None
        ]
        banned = [
            StateDraft("m.room.member", dict(event.content), key[1])
            for key, event in old.state.items()
            if key[0] == "m.room.member" and event.content.get("membership") == "ban"
        ]
        published = await self._directory.is_published(room_id)
        new = await self._creation.create(
            NewRoom(
                user_id,
                new_version,
                preset="private_chat",
                creation_content=creation,
                initial_state=initial,
                power_levels=power_levels,
                encrypted=False,
            )
        )
        for ban in banned:
            await self._writer.send(
                new.room_id, Draft("m.room.member", user_id, {"membership": "ban"}, state_key=ban.state_key)
            )
        await self._writer.send(
            room_id,
            Draft(
                "m.room.tombstone",
                user_id,
                {"body": "This room has been replaced", "replacement_room": new.room_id},
                state_key="",
            ),
        )
        await self._move_aliases(old, new, user_id)
        if published:
            await self._directory.set_published(new.room_id, published=True)
            await self._directory.set_published(room_id, published=False)
        await self._silence(room_id, user_id)
        return new.room_id

    @staticmethod
    def _power_levels(
        old: LiveRoom, user_id: UserID, additional_creators: Sequence[str], *, privileged: bool
    ) -> dict[str, Any]:
        """The old room's levels; creators of new versions have no level, and those of old ones need theirs."""
        levels = dict(old.content("m.room.power_levels"))
        users = dict(levels["users"]) if isinstance(levels.get("users"), dict) else {}
        if privileged:
            for creator in (user_id, *additional_creators):
                users.pop(creator, None)
        else:
            users.setdefault(user_id, 100)
            for creator in old.power_levels.creators:
                users[creator] = 100
        levels["users"] = users
        if privileged:
            events = dict(levels["events"]) if isinstance(levels.get("events"), dict) else {}
            state_default = levels.get("state_default", 50)
            if isinstance(state_default, int) and events.get("m.room.tombstone", 0) <= state_default:
                events["m.room.tombstone"] = max(150, state_default + 50)
            levels["events"] = events
        return levels

    async def _move_aliases(self, old: LiveRoom, new: LiveRoom, user_id: UserID) -> None:
        await self._aliases.move_all(old.room_id, new.room_id)
        canonical = dict(old.content("m.room.canonical_alias"))
        if not canonical:
            return
        levels = old.power_levels
        if levels.user(user_id) >= levels.event("m.room.canonical_alias", is_state=True):
            await self._writer.send(old.room_id, Draft("m.room.canonical_alias", user_id, {}, state_key=""))
        await self._writer.send(
            new.room_id, Draft("m.room.canonical_alias", user_id, canonical, state_key="")
        )

    async def _silence(self, room_id: RoomID, user_id: UserID) -> None:
        """Raise the levels for talking and inviting, so that members move on; where the user may."""
        room = await self._access.joined(room_id, user_id)
        levels = room.power_levels
        if levels.user(user_id) < levels.event("m.room.power_levels", is_state=True):
            return
        content = dict(room.content("m.room.power_levels"))
        default = content.get("users_default", 0)
        needed = max(RESTRICTED_LEVEL, (default if isinstance(default, int) else 0) + 1)
        for key in ("events_default", "invite"):
            current = content.get(key, 0)
            if isinstance(current, int) and current < needed <= levels.user(user_id):
                content[key] = needed
        if content != room.content("m.room.power_levels"):
            await self._writer.send(room_id, Draft("m.room.power_levels", user_id, content, state_key=""))
