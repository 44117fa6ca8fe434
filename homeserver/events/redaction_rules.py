"""What redaction leaves of an event, per room version.

Spec: https://spec.matrix.org/v1.19/client-server-api/#redactions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """The keys that survive. `content` maps event types to the keys kept in them; None keeps everything."""

    top_level: frozenset[str]
    content: Mapping[str, frozenset[str] | None]
    keeps_third_party_invite_signed: bool = False

    def redact(self, pdu: dict[str, Any]) -> dict[str, Any]:
        """A copy of the event without what redaction removes; `unsigned` goes as well."""
        redacted = {key: value for key, value in pdu.items() if key in self.top_level}
        redacted["content"] = self.redact_content(pdu["type"], pdu["content"])
        return redacted

    def redact_content(self, event_type: str, content: dict[str, Any]) -> dict[str, Any]:
        """What redaction leaves of the content of an event of this type."""
        kept = self.content.get(event_type, _NOTHING)
        if kept is None:
            return content
        redacted = {key: content[key] for key in kept if key in content}
        if self.keeps_third_party_invite_signed and event_type == "m.room.member":
            invite = content.get("third_party_invite")
            if isinstance(invite, dict):
                redacted["third_party_invite"] = {"signed": invite["signed"]} if "signed" in invite else {}
        return redacted


_NOTHING: frozenset[str] = frozenset()
_KEPT_TOP_LEVEL = frozenset(
    {
        "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth",
        "prev_events", "auth_events", "origin_server_ts",
    }
)  # fmt: skip
_KEPT_POWER_LEVELS = frozenset(
    {"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"}
)

REDACTION_V1 = RedactionRules(
    top_level=_KEPT_TOP_LEVEL | {"prev_state", "origin", "membership"},
    content={
        "m.room.member": frozenset({"membership"}),
        "m.room.create": frozenset({"creator"}),
        "m.room.join_rules": frozenset({"join_rule"}),
        "m.room.power_levels": _KEPT_POWER_LEVELS,
        "m.room.aliases": frozenset({"aliases"}),
        "m.room.history_visibility": frozenset({"history_visibility"}),
    },
)
REDACTION_V6 = replace(
    REDACTION_V1,
    content={kind: keys for kind, keys in REDACTION_V1.content.items() if kind != "m.room.aliases"},
)
REDACTION_V8 = replace(
    REDACTION_V6, content={**REDACTION_V6.content, "m.room.join_rules": frozenset({"join_rule", "allow"})}
)
REDACTION_V9 = replace(
    REDACTION_V8,
    content={
        **REDACTION_V8.content,
        "m.room.member": frozenset({"membership", "join_authorised_via_users_server"}),
    },
)
REDACTION_V11 = RedactionRules(
    top_level=_KEPT_TOP_LEVEL,
    content={
        **REDACTION_V9.content,
        "m.room.create": None,
        "m.room.power_levels": _KEPT_POWER_LEVELS | {"invite"},
        "m.room.redaction": frozenset({"redacts"}),
    },
    keeps_third_party_invite_signed=True,
)
