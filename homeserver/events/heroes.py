"""The heroes of a room: the members after whom clients call it when it has no name.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync_response-200_roomsummary
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest

from homeserver.events.event import Event
from homeserver.ids import EventID, StateKey, UserID

MAX_HEROES = 5

_PRESENT = frozenset({"join", "invite"})


def heroes(state: Mapping[StateKey, Event], user_id: str) -> list[UserID]:
    """The heroes as `user_id` sees them, the earliest first; nobody if the room has a name of its own."""
    if _says(state, "m.room.name", "name") or _says(state, "m.room.canonical_alias", "alias"):
        return []
    members = [
        event
        for (event_type, member), event in state.items()
        if event_type == "m.room.member" and member != user_id
    ]
    present = [event for event in members if event.content.get("membership") in _PRESENT]
    return _earliest(present) or _earliest(
        event for event in members if event.content.get("membership") in ("leave", "ban")
    )


def _earliest(members: Iterable[Event]) -> list[UserID]:
    return [UserID(event.state_key or "") for event in nsmallest(MAX_HEROES, members, key=_age)]


def _age(event: Event) -> tuple[int, int, EventID]:
    """An order of arrival that every server computes alike."""
    return event.depth, event.origin_server_ts, event.event_id


def _says(state: Mapping[StateKey, Event], event_type: str, field: str) -> bool:
    event = state.get((event_type, ""))
    value = None if event is None else event.content.get(field)
    return isinstance(value, str) and bool(value)
