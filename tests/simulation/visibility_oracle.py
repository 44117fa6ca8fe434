"""Who may see which event of a room with one line of history, worked out from the rules alone.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Event = dict[str, Any]

_ORDER = ("joined", "invited", "shared", "world_readable")


def _membership(event: Event) -> str:
    return str(event["content"].get("membership", "leave"))


def visible_to(user_id: str, history: Sequence[Event]) -> list[str]:
    """The IDs of the events that a user may see, of a whole `history` in its order."""
    joins = [
        number
        for number, event in enumerate(history)
        if event["type"] == "m.room.member" and event["state_key"] == user_id and _membership(event) == "join"
    ]
    seen = []
    visibility, membership = "shared", "leave"
    for number, event in enumerate(history):
        visibilities, memberships = {visibility}, {membership}
        if event["type"] == "m.room.history_visibility":
            visibility = event["content"].get("history_visibility", "shared")
            visibilities.add(visibility)
        if event["type"] == "m.room.member" and event["state_key"] == user_id:
            membership = _membership(event)
            memberships.add(membership)
        if _allows(visibilities, memberships, joins_later=any(join > number for join in joins)):
            seen.append(event["event_id"])
    return seen


def _allows(visibilities: Iterable[str], memberships: set[str], *, joins_later: bool) -> bool:
    # Where an event changes the visibility or the membership, the more generous of before and after holds.
    best = max(visibilities, key=_ORDER.index)
    return (
        best == "world_readable"
        or "join" in memberships
        or (best == "shared" and joins_later)
        or (best == "invited" and "invite" in memberships)
    )
