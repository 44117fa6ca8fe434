"""Events that belong to no room in particular, for tests that look at one event at a time."""

from __future__ import annotations

import json
from typing import Any

from homeserver.events.event import Event
from homeserver.events.room_versions import V11
from homeserver.ids import EventID, RoomID, UserID


def an_event(
    content: dict[str, Any],
    *,
    type: str = "m.room.message",
    state_key: str | None = None,
    sender: str = "@sender:hs",
    room_id: str = "!room:hs",
    event_id: str = "$event",
    depth: int = 1,
    ts: int = 1,
    **others: Any,
) -> Event:
    """An event with this content; `others` are further properties of its JSON."""
    return Event(
        version=V11,
        event_id=EventID(event_id),
        room_id=RoomID(room_id),
        type=type,
        state_key=state_key,
        sender=UserID(sender),
        origin_server_ts=ts,
        depth=depth,
        json=json.dumps({"content": content, **others}).encode(),
        content=content,
        prev_events=(),
        auth_events=(),
    )


def member(user_id: str, membership: str, *, event_id: str = "$member", depth: int = 1) -> Event:
    """A membership event."""
    content = {"membership": membership}
    return an_event(
        content, type="m.room.member", state_key=user_id, sender=user_id, event_id=event_id, depth=depth
    )


def visibility(value: object) -> Event:
    """A history visibility event."""
    return an_event({"history_visibility": value}, type="m.room.history_visibility", state_key="")
