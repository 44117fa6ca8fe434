"""What a group's state events are in the realtime stream: members, roles, mutes, announcements. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.ids import UserID
from homeserver.im.group_shapes import ADMIN, DISSOLVED, role_at
from homeserver.im.update_frames import Frame, membership_change
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.timeline import TimelineEvent

PINNED = "m.room.pinned_events"
_FIELDS = {
    "m.room.name": "name",
    "m.room.topic": "description",
    "m.room.avatar": "avatar",
    "m.room.join_rules": "join_mode",
    "m.room.history_visibility": "history",
    "m.room.canonical_alias": "alias",
    "m.room.encryption": "encrypted",
}


def of_state(entry: TimelineEvent, room: LiveRoom, user_id: UserID) -> list[Frame]:
    """The frames of one state event of a group, for one of its members."""
    event = entry.event
    common = {"gid": event.room_id, "by": event.sender, "ts": event.origin_server_ts}
    if event.type == "m.room.member":
        return [each | common for each in _member(entry, room, user_id)]
    if event.type == "m.room.power_levels":
        before = {} if entry.replaced is None else entry.replaced.content
        return [each | common for each in level_changes(before, event.content)]
    if event.type == DISSOLVED:
        return [{"type": "group.dissolved", "reason": event.content.get("reason")} | common]
    if event.type == PINNED:
        return [{"type": "group.announcement", "pinned": event.content.get("pinned", [])} | common]
    if event.type in _FIELDS:
        return [{"type": "group.updated", "changed": [_FIELDS[event.type]]} | common]
    return []


def _member(entry: TimelineEvent, room: LiveRoom, user_id: UserID) -> list[Frame]:
    before, after = membership_change(entry)
    target, content = entry.event.state_key, entry.event.content
    if after == "join" != before and target == user_id == room.create_event.sender:
        return [{"type": "group.created"}]
    if after == "knock":
        levels = room.power_levels
        if levels.user(user_id) < max(levels.invite, ADMIN):
            return []
        return [{"type": "group.request", "user_id": target, "message": content.get("reason")}]
    member = {"user_id": target, "membership": after, "nickname": content.get("displayname")}
    return [{"type": "group.member", **member}]


def level_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Frame]:
    """Whose role has changed, who may not speak any more, and who may again."""
    found: list[Frame] = []
    if _level(before, "events_default") != _level(after, "events_default"):
        found.append({"type": "group.muted", "all": _level(after, "events_default") >= ADMIN})
    old, new = _users(before), _users(after)
    for user in sorted(old.keys() | new.keys()):
        was, now = (
            users.get(user, _level(of, "users_default")) for users, of in ((old, before), (new, after))
        )
        if (was < 0) != (now < 0):
            found.append({"type": "group.muted", "user_id": user, "muted": now < 0})
        if role_at(was) != role_at(now):
            found.append({"type": "group.role", "user_id": user, "role": role_at(now)})
    if _level(before, "invite") != _level(after, "invite"):
        found.append({"type": "group.updated", "changed": ["invite_permission"]})
    return found


def _level(content: Mapping[str, Any], key: str) -> int:
    value = content.get(key, 0)
    return value if isinstance(value, int) else 0


def _users(content: Mapping[str, Any]) -> dict[str, int]:
    users = content.get("users")
    if not isinstance(users, dict):
        return {}
    return {user: level for user, level in users.items() if isinstance(level, int)}
