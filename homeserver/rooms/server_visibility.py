"""What other servers may see of a room: what some user of theirs may.

Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.errors import Forbidden, NotFound
from homeserver.events.event import Event
from homeserver.events.redaction import redact_event
from homeserver.events.visibility import HISTORY_VISIBILITY, server_may_see
from homeserver.ids import RoomID, ServerName, StateKey, domain_of
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent


class ServerVisibility:
    """The gate before everything that another server reads of a room."""

    def __init__(self, rooms: Rooms, state_at: StateAt) -> None:
        self._rooms = rooms
        self._state_at = state_at

    async def room_for(self, origin: ServerName, room_id: RoomID) -> LiveRoom:
        """The room, if the server may ask about it at all.

        A server that was in the room may ask about that time: to a removal belongs what led to it, which the removed
        server may not have. So may this server answer, though it has left, for what only it has.

        Raises:
            NotFound: this server does not know the room.
            Forbidden: the other server was never in it, or its access control list keeps it out.
        """
        room = await self._rooms.find_or_load(room_id)
        if room is None:
            raise NotFound(f"this server does not know the room {room_id}")
        if not is_server_allowed(room, origin):
            raise Forbidden(f"{origin} may not take part in this room")
        if (
            not self.is_present(room, origin)
            and room.history_visibility != "world_readable"
            and not _members_of(room, origin)
        ):
            raise Forbidden(f"{origin} is not in the room {room_id}")
        return room

    @staticmethod
    def is_present(room: LiveRoom, server: ServerName) -> bool:
        return server in room.joined_servers or server in room.partial_servers

    async def check_may_see(self, room: LiveRoom, server: ServerName, event: TimelineEvent) -> None:
        """Whether the server may know what the room was like at an event: it is in the room, or was then.

        Raises:
            Forbidden: it may not.
        """
        if not self.is_present(room, server) and not (await self.shown(room, server, [event]))[0][1]:
            raise Forbidden(f"{server} was not in the room {room.room_id} at {event.event.event_id}")

    async def shown(
        self, room: LiveRoom, server: ServerName, events: Sequence[TimelineEvent]
    ) -> list[tuple[TimelineEvent, bool]]:
        """Each event, and whether the server may see it whole; of others it gets the redacted form."""
        joined = self.is_present(room, server)
        members = _members_of(room, server)
        roots = {each.state_before for each in events if each.state_before is not None}
        states = await self._state_at.keys_at(room, roots, [HISTORY_VISIBILITY, *members])
        shown: list[tuple[TimelineEvent, bool]] = []
        for each in events:
            if each.state_before is None:
                # Without a place in the room it is known as part of its state, which the server may know.
                shown.append((each, joined))
                continue
            state = states[each.state_before]
            memberships = [str(state[key].content.get("membership")) for key in members if key in state]
            may_see = server_may_see(each.event, state, memberships, domain=server, joined_later=joined)
            shown.append((each, may_see))
        return shown

    async def pdus(self, room: LiveRoom, server: ServerName, events: Sequence[TimelineEvent]) -> list[bytes]:
        """The events as the server gets them: what it may not see is redacted, or missing if it is not there now."""
        joined = self.is_present(room, server)
        shown = await self.shown(room, server, events)
        return [seen_by(each.event, whole=whole).json for each, whole in shown if whole or joined]


def _members_of(room: LiveRoom, server: ServerName) -> list[StateKey]:
    return [key for key in room.state if key[0] == "m.room.member" and domain_of(key[1]) == server]


def seen_by(event: Event, *, whole: bool) -> Event:
    return event if whole else redact_event(event)
