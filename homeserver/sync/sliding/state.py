"""The state of a room in a sliding-sync answer: what its client asked for and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.events.client_format import client_event
from homeserver.events.event import Event
from homeserver.ids import StateKey
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.timeline import TimelineEvent
from homeserver.sync.sliding.connections import LAZY_KEPT, Sent
from homeserver.sync.sliding.request import RoomConfig

MEMBER = "m.room.member"


@dataclass(slots=True)
class Required:
    """The entries to send, those that are gone from the state, and the lazy members that the client then has."""

    events: dict[StateKey, Event] = field(default_factory=dict)
    gone: list[StateKey] = field(default_factory=list)
    members: frozenset[str] = frozenset()

    def shown(self, *, with_gone: bool) -> list[dict[str, Any]]:
        """The section; one dialect tells of deleted entries by stubs, and the other cannot."""
        stubs = [{"type": kind, "state_key": key} for kind, key in self.gone] if with_gone else []
        return [state_event(event) for event in self.events.values()] + stubs


def required_state(
    room: LiveRoom,
    sent: Sent | None,
    config: RoomConfig,
    timeline: Sequence[TimelineEvent],
    changed: Mapping[StateKey, Event | None],
    *,
    has_gap: bool,
) -> Required:
    """What to send of the current state to a client that was `sent` the room, given what has `changed` since."""
    selector = config.selector
    required = Required()
    if sent is None:
        required.events = {key: event for key, event in room.state.items() if selector.matches(key)}
    else:
        for key, event in changed.items():
            if selector.matches(key):
                if event is None:
                    required.gone.append(key)
                else:
                    required.events[key] = event
        before = sent.config.selector
        if not before.covers(selector):
            required.events.update(
                (key, event)
                for key, event in room.state.items()
                if selector.matches(key) and not before.matches(key)
            )
    if selector.lazy_members:
        _add_members(required, room, sent, config, timeline, changed, has_gap=has_gap)
    return required


def _add_members(
    required: Required,
    room: LiveRoom,
    sent: Sent | None,
    config: RoomConfig,
    timeline: Sequence[TimelineEvent],
    changed: Mapping[StateKey, Event | None],
    *,
    has_gap: bool,
) -> None:
    """Those who speak or are spoken of in the timeline, and without a gap everybody who has changed."""
    known = frozenset[str]() if sent is None else sent.members
    needed = _members_in(timeline)
    if sent is not None and not sent.config.selector.lazy_members:
        # Nobody was sent for the events that the client has already.
        needed |= _members_in(_last(room, config.timeline_limit))
    if has_gap:
        # A client that is told of a gap forgets the members that it knew.
        known = frozenset()
    elif sent is not None:
        needed |= {key[1] for key in changed if key[0] == MEMBER}
    for member in needed:
        key: StateKey = (MEMBER, member)
        event = room.state.get(key)
        if event is not None and (member not in known or key in changed):
            required.events[key] = event
    required.members = known | needed if len(known) < LAZY_KEPT else frozenset(needed)


def _members_in(timeline: Sequence[TimelineEvent]) -> set[str]:
    found = {str(entry.event.sender) for entry in timeline}
    found.update(
        entry.event.state_key
        for entry in timeline
        if entry.event.type == MEMBER and entry.event.state_key is not None
    )
    return found


def _last(room: LiveRoom, limit: int) -> list[TimelineEvent]:
    return list(room.timeline)[-limit:] if limit else []


def state_event(event: Event) -> dict[str, Any]:
    """Events in an answer stand under their room and do not name it."""
    body = client_event(event)
    del body["room_id"]
    return body
