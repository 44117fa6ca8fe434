"""Which state authorises an event.

Spec: https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection
"""

from __future__ import annotations

from typing import Any

from homeserver.events.power_levels import CREATE, POWER_LEVELS
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import StateKey

JOIN_RULES: StateKey = ("m.room.join_rules", "")

_NEED_JOIN_RULES = frozenset({"join", "invite", "knock"})


def auth_keys(
    event_type: str,
    sender: str,
    state_key: str | None,
    content: dict[str, Any],
    version: RoomVersion,
) -> list[StateKey]:
    """The keys of the state that an event's `auth_events` must name, as far as the room has it.

    As of room version 12 the create event is not among them, though the rules still read it.
    """
    if event_type == "m.room.create":
        return []
    keys: list[StateKey] = [] if version.room_id_is_create_event_id else [CREATE]
    keys.append(POWER_LEVELS)
    keys.append(("m.room.member", sender))
    if event_type == "m.room.member" and state_key is not None:
        _add_membership_keys(keys, state_key, content, version)
    return keys


def _add_membership_keys(
    keys: list[StateKey], target: str, content: dict[str, Any], version: RoomVersion
) -> None:
    membership = content.get("membership")
    member = ("m.room.member", target)
    if member not in keys:
        keys.append(member)
    if isinstance(membership, str) and membership in _NEED_JOIN_RULES:
        keys.append(JOIN_RULES)
    if membership == "invite":
        token = third_party_token(content)
        if token is not None:
            keys.append(("m.room.third_party_invite", token))
    if membership == "join" and version.has_restricted_joins:
        authoriser = content.get("join_authorised_via_users_server")
        if isinstance(authoriser, str) and ("m.room.member", authoriser) not in keys:
            keys.append(("m.room.member", authoriser))


def third_party_token(content: dict[str, Any]) -> str | None:
    """The token of the third party invite that an invite's content redeems."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    token = signed.get("token") if isinstance(signed, dict) else None
    return token if isinstance(token, str) else None
