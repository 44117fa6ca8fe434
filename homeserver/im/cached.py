"""What remembered answers of this API are about, and which entries of the log change it."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.ids import RoomID, UserID
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind

GROUPS = "groups"
"""What is found among groups."""

_ROOM = frozenset({LogKind.ROOM_STATE, LogKind.DIRECTORY})


def user_tag(user_id: UserID) -> str:
    return f"user {user_id}"


def group_tag(gid: RoomID) -> str:
    return f"group {gid}"


def tags_of(entry: LogEntry) -> Sequence[str]:
    """What an entry changes: somebody's profile, or what everybody may know of a group."""
    if entry.kind is LogKind.PROFILE and entry.user_id is not None:
        return (user_tag(UserID(entry.user_id)),)
    if entry.room_id is None:
        return ()
    if entry.kind in _ROOM or (entry.kind is LogKind.EVENT and _may_be_state(entry.payload)):
        return (group_tag(RoomID(entry.room_id)), GROUPS)
    return ()


def _may_be_state(payload: object) -> bool:
    """What another process wrote comes without its event."""
    return not isinstance(payload, TimelineEvent) or payload.event.state_key is not None
