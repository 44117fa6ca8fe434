"""State resets: memberships and power levels that state resolution takes away though no event removed them.

They follow from the rules, when forks meet whose events contradict one another, and are the first thing to look at
when people find themselves outside of rooms: each is logged, counted and kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import structlog

from homeserver.events.event import Event
from homeserver.ids import StateKey

_log = structlog.get_logger(__name__)

_WATCHED = frozenset({"m.room.member", "m.room.power_levels"})


def find_losses(
    event: Event, changes: Mapping[StateKey, Event | None], state: Mapping[StateKey, Event]
) -> bytes | None:
    """A report, as JSON, of what is lost when `event` changes `state`; None if nothing is."""
    lost: list[dict[str, str | None]] = []
    for key, after in changes.items():
        before = state.get(key)
        if before is None or key[0] not in _WATCHED or key == event.key:
            continue
        if key[0] == "m.room.member":
            if before.content.get("membership") != "join":
                continue
            if after is not None and (after.content.get("membership") == "join" or _follows(after, before)):
                continue
        elif after is not None and _follows(after, before):
            continue
        lost.append(
            {
                "type": key[0],
                "state_key": key[1],
                "before": before.event_id,
                "after": None if after is None else after.event_id,
            }
        )
    if not lost:
        return None
    _log.warning("state resolution took away state", room=event.room_id, by=event.event_id, lost=lost)
    return msgspec.json.encode({"event": event.event_id, "lost": lost})


def _follows(after: Event, before: Event) -> bool:
    """Whether the one was made in knowledge of the other, or could have been."""
    return before.event_id in after.auth_events or after.depth > before.depth
