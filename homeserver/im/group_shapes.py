"""Groups as data: the room that makes one, roles as power levels, and the refusals of the IM API.

Roles are power levels and nothing else, so a stock client sees and changes the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from homeserver.errors import Conflict, Forbidden, MatrixError
from homeserver.ids import NAMESPACE, UserID
from homeserver.rooms.live_room import LiveRoom

GROUP = f"{NAMESPACE}group"
"""The type of rooms that are groups."""
DISSOLVED = f"{NAMESPACE}group.dissolved"
ANNOUNCEMENT = f"{NAMESPACE}announcement"

OWNER, ADMIN, MEMBER, MUTED = 100, 50, 0, -1

JoinMode = Literal["invite", "approval", "open"]
InvitePermission = Literal["all", "admin"]
HistoryMode = Literal["joined", "shared"]
Role = Literal["owner", "admin", "member"]

JOIN_RULES: Mapping[str, str] = {"invite": "invite", "approval": "knock", "open": "public"}
_JOIN_MODES = {rule: mode for mode, rule in JOIN_RULES.items()} | {
    "restricted": "invite",
    "knock_restricted": "approval",
}


class GroupDissolved(MatrixError):
    """The group is no more, and says nothing any more."""

    status = 410
    errcode = "IM_GROUP_DISSOLVED"


class OwnerMustTransfer(Conflict):
    errcode = "IM_OWNER_MUST_TRANSFER"


class LinkInvalid(MatrixError):
    status = 404
    errcode = "IM_LINK_INVALID"


class Muted(Forbidden):
    errcode = "IM_MUTED"


def power_levels(owner: UserID, invite_permission: InvitePermission) -> dict[str, Any]:
    """The levels of a new group. Muted members may still take back what they have said."""
    may_invite = ADMIN if invite_permission == "admin" else MEMBER
    return {
        "users": {owner: OWNER},
        "users_default": MEMBER,
        "events_default": MEMBER,
        "state_default": ADMIN,
        "invite": may_invite,
        "kick": ADMIN,
        "ban": ADMIN,
        "redact": ADMIN,
        "events": {
            # Below the others' level: who is muted has less than theirs.
            "m.room.redaction": MUTED,
            "m.room.power_levels": ADMIN,
            "m.room.third_party_invite": may_invite,
            "m.room.tombstone": OWNER,
            DISSOLVED: OWNER,
            "m.room.join_rules": OWNER,
            "m.room.encryption": OWNER,
        },
        "notifications": {"room": ADMIN},
    }


def join_mode_of(room: LiveRoom) -> str:
    return _JOIN_MODES.get(room.join_rule, "invite")


def is_dissolved(room: LiveRoom) -> bool:
    return (DISSOLVED, "") in room.state


def role_of(room: LiveRoom, user_id: str) -> Role:
    return role_at(room.power_levels.user(user_id))


def role_at(level: int) -> Role:
    if level >= OWNER:
        return "owner"
    return "admin" if level >= ADMIN else "member"


def owner_of(room: LiveRoom) -> UserID | None:
    """The member with an owner's power; the one who made the group, if there are several."""
    levels = room.power_levels
    owners = sorted(user for user in room.joined if levels.user(user) >= OWNER)
    creator = UserID(room.create_event.sender)
    return creator if creator in owners else next(iter(owners), None)


def check_may_speak(room: LiveRoom, user_id: UserID) -> None:
    """What the power levels would refuse anyway, in the facade's words.

    Raises:
        GroupDissolved, Muted: saying which of them holds.
    """
    if is_dissolved(room):
        raise GroupDissolved("this group has been dissolved")
    levels = room.power_levels
    if levels.user(user_id) < levels.event("m.room.message", is_state=False):
        raise Muted("you cannot speak in this group now")


def check_not_dissolved(room: LiveRoom) -> None:
    """
    Raises:
        GroupDissolved: it is.
    """
    if is_dissolved(room):
        raise GroupDissolved("this group has been dissolved")
