"""What stands around an event that was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.ids import DeviceID, StateKey, UserID
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.search import Result
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.tokens import StreamToken

MAX_EVENTS = 50
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class ContextWish:
    """How many events before and after, and whether who said them is told."""

    before: int
    after: int
    with_profiles: bool


class SearchContexts:
    """Reads contexts, through the gate."""

    def __init__(self, rooms: Rooms, history: History, state_at: StateAt) -> None:
        self._rooms = rooms
        self._history = history
        self._state_at = state_at

    async def json(
        self, user_id: UserID, device_id: DeviceID | None, result: Result, wish: ContextWish
    ) -> bytes:
        """The context as a client reads it."""
        room = await self._rooms.load(result.room_id)
        position = result.entry.position
        before = await self._history.backwards(
            room, user_id, start=position - 1, after=None, limit=_limited(wish.before)
        )
        after = await self._history.forwards(
            room, user_id, start=position, until=room.position, limit=_limited(wish.after)
        )
        parts = [
            b'"start":%b' % _encode(str(StreamToken(before.end))),
            b'"end":%b' % _encode(str(StreamToken(after.end))),
            b'"events_before":[%b]' % _joined(before.events, user_id, device_id),
            b'"events_after":[%b]' % _joined(after.events, user_id, device_id),
        ]
        if wish.with_profiles:
            shown = [*before.events, result.entry, *after.events]
            parts.append(b'"profile_info":%b' % _encode(await self._profiles(room, result.entry, shown)))
        return b"{%b}" % b",".join(parts)

    async def _profiles(
        self, room: LiveRoom, at: TimelineEvent, shown: list[TimelineEvent]
    ) -> dict[str, dict[str, Any]]:
        """How the senders were called when the event came."""
        senders = {entry.event.sender for entry in shown}
        keys: list[StateKey] = [("m.room.member", sender) for sender in senders]
        if at.state_before is None:
            return {}
        state = (await self._state_at.keys_at(room, [at.state_before], keys))[at.state_before]
        profiles: dict[str, dict[str, Any]] = {}
        for (_, sender), event in state.items():
            content = event.content
            profiles[sender] = {
                key: content[key]
                for key in ("displayname", "avatar_url")
                if isinstance(content.get(key), str)
            }
        return profiles


def _limited(limit: int) -> int:
    return min(max(limit, 0), MAX_EVENTS)


def _joined(events: list[TimelineEvent], user_id: UserID, device_id: DeviceID | None) -> bytes:
    return b",".join([event.json_for(user_id, device_id) for event in events])
