"""Redaction: what it makes of an event, and when it happens.

Hashes and signatures cover the redacted form, so redacting changes neither the event's ID nor its validity.
Spec: https://spec.matrix.org/v1.19/client-server-api/#redactions
"""

from __future__ import annotations

from typing import Any

from homeserver.events.event import Event
from homeserver.events.power_levels import PowerLevels
from homeserver.events.room_versions import RoomVersion


def redact(pdu: dict[str, Any], version: RoomVersion) -> dict[str, Any]:
    """A copy of the event's federation form without what its room version's redaction removes."""
    return version.redaction.redact(pdu)


def redact_event(event: Event) -> Event:
    """The event without the keys that redaction removes; its ID is unchanged."""
    return event.with_pdu(event.version.redaction.redact(event.pdu))


def may_redact(redaction: Event, target: Event, power_levels: PowerLevels) -> bool:
    """Whether an accepted redaction takes effect on its target, given the power levels at the redaction.

    As of room version 3 the authorization rules let every redaction pass, and this decides; until then the
    rules have decided already.
    Spec: https://spec.matrix.org/v1.19/rooms/v12/#handling-redactions
    """
    if redaction.room_id != target.room_id or redaction.redacts != target.event_id:
        return False
    if redaction.version.redaction_auth_rule:
        return True
    return power_levels.user(redaction.sender) >= power_levels.redact or redaction.domain == target.domain
