"""State resolution of room version 1: conflicts are settled by type, then depth, then a hash of the ID.

A conflict is one key. The keys of one type are settled independently of one another, from the state before
that type, so the order of keys does not matter.
Spec: https://spec.matrix.org/v1.19/rooms/v1/#state-resolution
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha1

from homeserver.errors import AuthRejected
from homeserver.events.auth_chain import AuthGraph, StateLookup
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event
from homeserver.ids import EventID, StateKey

_AUTH_TYPES = ("m.room.power_levels", "m.room.join_rules", "m.room.member")

_State = Callable[[StateKey], Event | None]


def resolve_conflicted_v1(
    unconflicted: StateLookup, conflicted: Mapping[StateKey, Collection[EventID]], graph: AuthGraph
) -> dict[StateKey, EventID]:
    """What the resolved state has under the conflicted keys."""
    graph.fetch(event_id for event_ids in conflicted.values() for event_id in event_ids)
    resolved: dict[StateKey, Event] = {}

    def state(key: StateKey) -> Event | None:
        event = resolved.get(key)
        event_id = unconflicted(key) if event is None else None
        return event if event_id is None else graph.find(event_id)

    for auth_type in _AUTH_TYPES:
        keys = [key for key in conflicted if key[0] == auth_type]
        settled = {key: _last_allowed(_sorted(graph.find_all(conflicted[key])), state) for key in keys}
        resolved.update((key, event) for key, event in settled.items() if event is not None)
    others = {
        key: _newest_allowed(_sorted(graph.find_all(conflicted[key])), state)
        for key in conflicted
        if key[0] not in _AUTH_TYPES
    }
    resolved.update((key, event) for key, event in others.items() if event is not None)
    return {key: event.event_id for key, event in resolved.items()}


def _sorted(events: Collection[Event]) -> list[Event]:
    """By ascending depth, then descending SHA-1 of the event ID."""
    by_hash = sorted(events, key=_id_hash, reverse=True)
    return sorted(by_hash, key=lambda event: event.depth)


def _id_hash(event: Event) -> bytes:
    return sha1(event.event_id.encode(), usedforsecurity=False).digest()


def _last_allowed(events: Sequence[Event], state: _State) -> Event | None:
    """The last event of the line in which each is allowed by the state with the one before."""
    winner: Event | None = None
    for event in events:
        if winner is not None and not _is_allowed(event, state, winner):
            break
        winner = event
    return winner


def _newest_allowed(events: Sequence[Event], state: _State) -> Event | None:
    """The allowed event of the highest depth and, of those, the lowest hash."""
    return next((event for event in reversed(events) if _is_allowed(event, state, None)), None)


def _is_allowed(event: Event, state: _State, overlay: Event | None) -> bool:
    """Whether the auth rules allow `event` in the room's state, on which `overlay` is laid."""
    keys = auth_keys(event.type, event.sender, event.state_key, event.content, event.version)
    auth_state = {key: found for key in keys if (found := state(key)) is not None}
    if overlay is not None and overlay.key is not None:
        auth_state[overlay.key] = overlay
    try:
        check_event_auth(event, auth_state)
    except AuthRejected:
        return False
    return True
