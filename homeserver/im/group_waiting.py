"""The groups that a user is invited to, or has asked to join, whether this server is in them or not."""

from __future__ import annotations

from typing import Any

from homeserver.ids import RoomID, UserID
from homeserver.im.group_shapes import GROUP
from homeserver.rooms.stripped import StrippedStates
from storage import membership as membership_rows
from storage.database import Database

_FIELDS = (
    ("name", "m.room.name", "name"),
    ("description", "m.room.topic", "topic"),
    ("avatar", "m.room.avatar", "url"),
    ("alias", "m.room.canonical_alias", "alias"),
)


class WaitingGroups:
    """Lists what waits for an answer."""

    def __init__(self, db: Database, stripped: StrippedStates) -> None:
        self._db = db
        self._stripped = stripped

    async def invitations(self, user_id: UserID) -> list[dict[str, Any]]:
        return await self._list(user_id, "invite")

    async def requests(self, user_id: UserID) -> list[dict[str, Any]]:
        return await self._list(user_id, "knock")

    async def _list(self, user_id: UserID, membership: str) -> list[dict[str, Any]]:
        found = []
        for row in await self._db.read(membership_rows.list_of_user, user_id):
            if row.membership != membership:
                continue
            shown = _shown(row.room_id, await self._stripped.of(row.room_id, user_id), user_id)
            if shown is not None:
                own = await self._stripped.member_event(row.room_id, user_id)
                found.append({**shown, "by": row.sender, "ts": 0 if own is None else own.origin_server_ts})
        return sorted(found, key=lambda one: (-int(one["ts"]), str(one["gid"])))


def _shown(gid: RoomID, state: list[dict[str, Any]], user_id: UserID) -> dict[str, Any] | None:
    """A group as its stripped state tells of it; None if the room is no group."""
    contents = {(event.get("type"), event.get("state_key")): event.get("content", {}) for event in state}
    if contents.get(("m.room.create", ""), {}).get("type") != GROUP:
        return None
    shown: dict[str, Any] = {"gid": gid}
    for name, kind, key in _FIELDS:
        shown[name] = contents.get((kind, ""), {}).get(key)
    shown["message"] = contents.get(("m.room.member", user_id), {}).get("reason")
    return shown
