"""Stripped state: as much of a room as somebody needs to see who is asked into it.

Spec: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from homeserver.events.event import Event
from homeserver.ids import StateKey

STRIPPED_STATE_KEYS: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.join_rules", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
)


def stripped_state(state: Mapping[StateKey, Event], *, sender: str) -> list[Event]:
    """The events that present the room to somebody whom `sender` invites, or to `sender` who knocks.

    Clients get them as `stripped_event`, servers as whole PDUs.
    """
    keys = (*STRIPPED_STATE_KEYS, ("m.room.member", sender))
    return [event for key in keys if (event := state.get(key)) is not None]


def stripped_event(event: Event) -> dict[str, Any]:
    """The event with the four keys that stripped state has."""
    return {
        "content": event.content,
        "sender": event.sender,
        "state_key": event.state_key,
        "type": event.type,
    }


def parse_stripped_state(received: object) -> list[dict[str, Any]]:
    """What another server sent as `invite_room_state` or `knock_room_state`, pruned for clients.

    Whole PDUs and stripped events look alike here; what is neither is left out.
    """
    entries: Iterable[object] = received if isinstance(received, list) else ()
    pruned = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), dict):
            continue
        if all(isinstance(entry.get(name), str) for name in ("sender", "state_key", "type")):
            pruned.append({name: entry[name] for name in ("content", "sender", "state_key", "type")})
    return pruned
