"""History visibility: may a user, or a server, see an event?

What counts is the state *before* the event; an event that itself changes the visibility, or the membership of
whoever asks, is seen if the state on either side of it allows.
Spec: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from homeserver.events.event import Event
from homeserver.ids import StateKey

HISTORY_VISIBILITY: Final[StateKey] = ("m.room.history_visibility", "")
DEFAULT_VISIBILITY: Final = "shared"

_VISIBILITIES = frozenset({"world_readable", "shared", "invited", "joined"})


def visibility_of(event: Event | None) -> str:
    """The visibility that the event sets; the default if there is none or it is not understood."""
    value = None if event is None else event.content.get("history_visibility")
    return value if isinstance(value, str) and value in _VISIBILITIES else DEFAULT_VISIBILITY


def may_see(event: Event, state: Mapping[StateKey, Event], *, user_id: str, joined_later: bool) -> bool:
    """Whether the user may see the event.

    `state` is that before the event; the history visibility and the user's own membership are read from it.
    `joined_later` says whether the user has been joined at any time since the event.
    """
    member_key = ("m.room.member", user_id)
    memberships = {_membership(state.get(member_key))}
    if event.key == member_key:
        memberships.add(_membership(event))
    return _is_visible(event, state, memberships, joined_later=joined_later)


def server_may_see(
    event: Event,
    state: Mapping[StateKey, Event],
    memberships: Collection[str],
    *,
    domain: str,
    joined_later: bool,
) -> bool:
    """Whether a server may have the event: some user of it may see it.

    `memberships` are those of the server's users before the event. `joined_later` says whether any of them
    has been joined at any time since.
    Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
    """
    known = set(memberships)
    if (
        event.type == "m.room.member"
        and event.state_key is not None
        and event.state_key.endswith(f":{domain}")
    ):
        known.add(_membership(event))
    return _is_visible(event, state, known, joined_later=joined_later)


def _is_visible(
    event: Event, state: Mapping[StateKey, Event], memberships: Collection[str], *, joined_later: bool
) -> bool:
    visibilities = {visibility_of(state.get(HISTORY_VISIBILITY))}
    if event.key == HISTORY_VISIBILITY:
        visibilities.add(visibility_of(event))
    return (
        # 1. Anybody may.
        "world_readable" in visibilities
        # 2. Members may.
        or "join" in memberships
        # 3. So may those who became members later.
        or (joined_later and "shared" in visibilities)
        # 4. So may those who were invited.
        or ("invite" in memberships and "invited" in visibilities)
    )


def _membership(event: Event | None) -> str:
    value = None if event is None else event.content.get("membership")
    return value if isinstance(value, str) else "leave"
