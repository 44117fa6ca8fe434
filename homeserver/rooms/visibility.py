"""The *may this requester see it* gate (DESIGN §7): every way to an event's content passes here.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
"""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.events.visibility import may_see
from homeserver.ids import StateKey, UserID
from homeserver.rooms.live_room import HISTORY_VISIBILITY, LiveRoom
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent


class Visibility:
    """Decides which events of a room a user may see."""

    def __init__(self, state_at: StateAt) -> None:
        self._state_at = state_at

    async def visible(
        self, room: LiveRoom, user_id: UserID, events: Sequence[TimelineEvent]
    ) -> list[TimelineEvent]:
        """The events that the user may see, in the same order."""
        if not events:
            return []
        if self._sees_everything(room, user_id, events):
            return list(events)
        member: StateKey = ("m.room.member", user_id)
        roots = {event.state_before for event in events if event.state_before is not None}
        states = await self._state_at.keys_at(room, roots, [HISTORY_VISIBILITY, member])
        joined_now = room.is_joined(user_id)
        seen: list[TimelineEvent] = []
        for event in events:
            if event.state_before is None:
                continue
            state = states[event.state_before]
            if may_see(event.event, state, user_id=user_id, joined_later=joined_now):
                seen.append(event)
        return seen

    def _sees_everything(self, room: LiveRoom, user_id: UserID, events: Sequence[TimelineEvent]) -> bool:
        """Whether no look at older state is needed: the room's state has not changed since the first event."""
        if not room.is_joined(user_id):
            return room.history_visibility == "world_readable" and all(
                event.state_before == room.root for event in events
            )
        return all(event.state_before == room.root for event in events)
