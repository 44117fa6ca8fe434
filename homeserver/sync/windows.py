"""The part of a timeline that an answer carries, and the state that it leaves out.

A client takes the state before the timeline and then what the timeline says. Where a filter or the room's history
visibility hides a state event that came in between, this would end in a state that is not the room's: such an event is
told as state. And where the timeline says something older of the same key, the timeline begins after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from homeserver.events.event import Event
from homeserver.events.state_tree import NodeHash
from homeserver.ids import StateKey
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent


@dataclass(slots=True)
class Window:
    """Events in order; `start` is the first one's predecessor in the log."""

    events: list[TimelineEvent]
    limited: bool
    start: int
    hidden: dict[StateKey, Event] = field(default_factory=dict)
    """What changed in the state while the events happened, and is not among them."""

    @property
    def first_root(self) -> NodeHash | None:
        """The state before the events."""
        return self.events[0].state_before if self.events else None


async def settle(state_at: StateAt, room: LiveRoom, window: Window, end: NodeHash) -> None:
    """Have a window bring its reader to the state `end`."""
    first = window.first_root
    if first is None or first == end:
        return
    told = {event.event.event_id for event in window.events}
    changes = await state_at.between(room, first, end)
    left_out = {key for key, event in changes.items() if event is None or event.event_id not in told}
    if not left_out:
        return
    stale = [index for index, event in enumerate(window.events) if event.event.key in left_out]
    if stale:
        last = window.events[stale[-1]]
        window.events = window.events[stale[-1] + 1 :]
        window.limited, window.start = True, last.position
        # The state is now the one after these; what is left out is a part of what was.
        begin = window.first_root or end
        changes = await state_at.between(room, begin, end)
    window.hidden = {
        key: event
        for key, event in changes.items()
        if event is not None and key in left_out and event.event_id not in told
    }
