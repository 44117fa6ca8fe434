"""What power levels cannot say of groups: an admin may mute, which is writing power levels, but appoints no admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import Forbidden
from homeserver.events.power_levels import PowerLevels, creators_of
from homeserver.im.group_shapes import ADMIN, GROUP, OWNER
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.writer import Draft


async def check_appointment(room: LiveRoom, draft: Draft) -> None:
    """Only the owner of a group makes admins: refuse an admin's power levels event that does.

    It binds this server's users. Another server's admin can do it all the same, in everybody's sight.

    Raises:
        Forbidden: the draft raises somebody to an admin's power, and its sender is not the owner.
    """
    if draft.type != "m.room.power_levels" or room.room_type != GROUP:
        return
    levels = room.power_levels
    if levels.user(draft.sender) >= OWNER:
        return
    after = PowerLevels(dict(draft.content), creators_of(room.create_event), room.version)
    named: set[str] = {*_users(room.content("m.room.power_levels")), *_users(draft.content)}
    raised = [user for user in named if after.user(user) >= ADMIN > levels.user(user)]
    if raised or after.users_default >= ADMIN > levels.users_default:
        raise Forbidden("only the owner of a group appoints admins")


def _users(content: Mapping[str, Any]) -> list[str]:
    users = content.get("users")
    return list(users) if isinstance(users, dict) else []
