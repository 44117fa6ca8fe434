"""Room versions as records: each names what changed since the one before.

Code elsewhere reads a field and never compares versions.
Spec: https://spec.matrix.org/v1.19/rooms/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from homeserver.errors import UnsupportedRoomVersion
from homeserver.events.redaction_rules import (
    REDACTION_V1,
    REDACTION_V6,
    REDACTION_V8,
    REDACTION_V9,
    REDACTION_V11,
    RedactionRules,
)


class StateResolution(Enum):
    """The algorithm that resolves forked state."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


class EventIDFormat(Enum):
    """What an event ID is."""

    OPAQUE = "$opaque:domain, a field of the event"
    BASE64 = "the reference hash in standard base64"
    URL_SAFE_BASE64 = "the reference hash in URL-safe base64"


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """Everything that differs between room versions."""

    id: str
    state_resolution: StateResolution
    event_id_format: EventIDFormat
    redaction: RedactionRules

    # Event format
    references_carry_hashes: bool = True
    """`prev_events` and `auth_events` are pairs of ID and hash, not plain IDs."""
    max_depth: int = 2**63 - 1
    strict_canonical_json: bool = False
    redacts_in_content: bool = False
    room_id_is_create_event_id: bool = False
    """The room ID is the create event's ID with another sigil; no event names its create event otherwise."""

    # Signatures
    event_id_domain_signs: bool = True
    enforce_key_validity: bool = False

    # Authorization
    creator_in_content: bool = True
    """The creator is `content.creator` of the create event, not its sender."""
    creators_are_almighty: bool = False
    """Creators have infinite power, and `additional_creators` are creators."""
    aliases_auth_rule: bool = True
    redaction_auth_rule: bool = True
    limit_notifications: bool = False
    """The power level rules treat `notifications` like `events`."""
    knock_join_rules: frozenset[str] = frozenset()
    restricted_join_rules: frozenset[str] = frozenset()
    string_power_levels: bool = True
    float_power_levels: bool = True
    integer_power_levels: bool = False
    """Power levels are checked to be integers wherever they occur."""

    def __repr__(self) -> str:
        return f"RoomVersion({self.id})"

    # A version is one of a dozen constants: identity is equality, and its hash is taken often.
    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def event_ids_are_hashes(self) -> bool:
        return self.event_id_format is not EventIDFormat.OPAQUE

    @property
    def has_knocking(self) -> bool:
        return bool(self.knock_join_rules)

    @property
    def has_restricted_joins(self) -> bool:
        return bool(self.restricted_join_rules)


V1 = RoomVersion(
    id="1",
    state_resolution=StateResolution.V1,
    event_id_format=EventIDFormat.OPAQUE,
    redaction=REDACTION_V1,
)
V2 = replace(V1, id="2", state_resolution=StateResolution.V2)
V3 = replace(
    V2,
    id="3",
    event_id_format=EventIDFormat.BASE64,
    references_carry_hashes=False,
    event_id_domain_signs=False,
    redaction_auth_rule=False,
)
V4 = replace(V3, id="4", event_id_format=EventIDFormat.URL_SAFE_BASE64)
V5 = replace(V4, id="5", enforce_key_validity=True)
V6 = replace(
    V5,
    id="6",
    redaction=REDACTION_V6,
    max_depth=2**53 - 1,
    strict_canonical_json=True,
    float_power_levels=False,
    aliases_auth_rule=False,
    limit_notifications=True,
)
V7 = replace(V6, id="7", knock_join_rules=frozenset({"knock"}))
V8 = replace(V7, id="8", redaction=REDACTION_V8, restricted_join_rules=frozenset({"restricted"}))
V9 = replace(V8, id="9", redaction=REDACTION_V9)
V10 = replace(
    V9,
    id="10",
    knock_join_rules=frozenset({"knock", "knock_restricted"}),
    restricted_join_rules=frozenset({"restricted", "knock_restricted"}),
    string_power_levels=False,
    integer_power_levels=True,
)
V11 = replace(V10, id="11", redaction=REDACTION_V11, redacts_in_content=True, creator_in_content=False)
V12 = replace(
    V11,
    id="12",
    state_resolution=StateResolution.V2_1,
    room_id_is_create_event_id=True,
    creators_are_almighty=True,
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = {
    version.id: version for version in (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12)
}


def room_version(version_id: object) -> RoomVersion:
    """The room version of this name.

    Raises:
        UnsupportedRoomVersion: there is none.
    """
    version = ROOM_VERSIONS.get(version_id) if isinstance(version_id, str) else None
    if version is None:
        raise UnsupportedRoomVersion(version_id)
    return version
