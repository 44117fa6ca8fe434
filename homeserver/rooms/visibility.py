"""The *may this requester see it* gate (DESIGN §7): every way to an event's content passes here.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import msgspec

from homeserver.events.visibility import HISTORY_VISIBILITY, may_see, visibility_of
from homeserver.ids import RoomID, StateKey, UserID
from homeserver.rooms.concealed import Concealed
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent
from storage import events as event_rows
from storage import membership as membership_rows
from storage.database import Database
from storage.transaction import Transaction

OPEN = frozenset({"shared", "world_readable"})
"""Visibilities by which a member sees what came before they were one."""


class Visibility:
    """Decides which events of a room a user may see."""

    def __init__(self, db: Database, state_at: StateAt, concealed: Concealed) -> None:
        self._db = db
        self._state_at = state_at
        self.concealed = concealed

    async def visible(
        self, room: LiveRoom, user_id: UserID, events: Sequence[TimelineEvent]
    ) -> list[TimelineEvent]:
        """The events that the user may and wants to see, in the same order."""
        if not events:
            return []
        events = await self.concealed.without(user_id, room.room_id, events)
        joined_until = await self._joined_until(room, user_id)
        if joined_until == inf and await self._are_open(room, events):
            return list(events)
        member: StateKey = ("m.room.member", user_id)
        roots = {event.state_before for event in events if event.state_before is not None}
        states = await self._state_at.keys_at(room, roots, [HISTORY_VISIBILITY, member])
        return [
            event
            for event in events
            if event.state_before is not None
            and may_see(
                event.event,
                states[event.state_before],
                user_id=user_id,
                joined_later=event.position < joined_until,
            )
        ]

    async def _are_open(self, room: LiveRoom, events: Sequence[TimelineEvent]) -> bool:
        """Whether every event came while the room was open to later members; what is learnt is kept with the room."""
        known = room.visibility_at
        # Most pages have few states: only state events make new ones.
        roots = {event.state_before for event in events}
        if None in roots:
            return False
        missing = [root for root in roots if root is not None and root not in known]
        if missing:
            for root, state in (await self._state_at.keys_at(room, missing, [HISTORY_VISIBILITY])).items():
                room.remember_visibility(root, visibility_of(state.get(HISTORY_VISIBILITY)))
        return all(root in known and known[root] in OPEN for root in roots)

    async def _joined_until(self, room: LiveRoom, user_id: UserID) -> float:
        """The position up to which the user has been a member, last of all."""
        if room.is_joined(user_id):
            return inf
        if ("m.room.member", user_id) not in room.state:
            return -inf
        return await self._db.read(_left_at, room.room_id, user_id)


def _left_at(txn: Transaction, room_id: RoomID, user_id: UserID) -> float:
    """Where a user who is not in the room left it; before everything if they never were."""
    current = membership_rows.find(txn, room_id, user_id)
    if current is None or current.membership not in ("leave", "ban"):
        return -inf
    row = event_rows.by_number(txn, [current.event]).get(current.event)
    before = None if row is None or row.replaces is None else event_rows.by_number(txn, [row.replaces])
    if not before:
        return -inf
    (replaced,) = before.values()
    content = msgspec.json.decode(replaced.json)["content"]
    return current.position if content.get("membership") == "join" else -inf
