"""Restricted rooms: who may come in because they are in another room, and who vouches for that.

Spec: https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms
"""

from __future__ import annotations

from homeserver.errors import Forbidden, MatrixError
from homeserver.ids import RoomID, UserID
from homeserver.rooms.live_room import JOIN_RULES, LiveRoom
from homeserver.rooms.registry import Rooms


class RestrictedJoins:
    """Decides about the users of other servers."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def authoriser_for(self, room: LiveRoom, user_id: UserID) -> UserID | None:
        """The local user who vouches for the join; None if the join needs nobody's word.

        Raises:
            Forbidden: the user meets no condition.
            MatrixError: this server cannot tell, or nobody here may vouch.
        """
        if room.join_rule not in room.version.restricted_join_rules:
            return None
        if room.membership(user_id) in ("invite", "join"):
            return None
        await self._check_conditions(room, user_id)
        levels = room.power_levels
        found = next((user for user in sorted(room.local_joined) if levels.user(user) >= levels.invite), None)
        if found is None:
            raise MatrixError("nobody here may let the user in", errcode="M_UNABLE_TO_GRANT_JOIN")
        return found

    async def _check_conditions(self, room: LiveRoom, user_id: UserID) -> None:
        can_tell = False
        for other_id in allowed_rooms(room):
            other = await self._rooms.find_or_load(other_id)
            if other is None or not other.local_joined:
                continue
            if other.is_joined(user_id):
                return
            can_tell = True
        if not can_tell:
            raise MatrixError(
                "this server is in none of the rooms whose members may join",
                errcode="M_UNABLE_TO_AUTHORISE_JOIN",
            )
        raise Forbidden(f"{user_id} is in none of the rooms whose members may join this one")


def allowed_rooms(room: LiveRoom) -> list[RoomID]:
    """The rooms whose members may join, as the join rule names them."""
    rules = room.head_state.get(JOIN_RULES)
    allow = None if rules is None else rules.content.get("allow")
    return [
        RoomID(condition["room_id"])
        for condition in (allow if isinstance(allow, list) else [])
        if isinstance(condition, dict)
        and condition.get("type") == "m.room_membership"
        and isinstance(condition.get("room_id"), str)
    ]
