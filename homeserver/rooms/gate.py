"""The inbound-event gate: what another server calls an event becomes an `Event`, or is refused with a reason.

Checks 1 to 3: the format of the room version, the signatures (beside the reactor if they are many), and the content
hash, without which only the redacted form is vouched for.
Spec: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec

from homeserver.errors import HearthError, InvalidEvent, InvalidSignature, KeysUnavailable
from homeserver.events.canonical_json import decode_json
from homeserver.events.event import Event
from homeserver.events.hashes import event_id_of, has_valid_content_hash
from homeserver.events.redaction import redact_event
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import EventID, RoomID

BATCH = 100
OFFLOAD_FROM = 16

Elsewhere = Callable[..., Awaitable[Any]]
"""Runs `fn(*args)` where it may take long."""


class Signatures(Protocol):
    """Knows whether events are signed as they must be."""

    async def verify_events(self, events: Sequence[Event]) -> dict[EventID, InvalidSignature]: ...


@dataclass(slots=True)
class Checked:
    """What came through, in order, and why the rest did not."""

    events: list[Event] = field(default_factory=list)
    refused: dict[EventID, str] = field(default_factory=dict)
    """Events without an ID that could be made out are left out."""
    unverified: dict[EventID, Event] = field(default_factory=dict)
    """Those of the refused that may be right: the keys that would tell may be had later."""


@dataclass(slots=True)
class _Parsed:
    event: Event
    is_whole: bool


class Gate:
    """Lets events of one room in."""

    def __init__(self, signatures: Signatures, elsewhere: Elsewhere) -> None:
        self._signatures = signatures
        self._elsewhere = elsewhere

    async def check(
        self, pdus: Sequence[Any], version: RoomVersion, room_id: RoomID, *, backfilled: bool = False
    ) -> Checked:
        """Check events that are parsed JSON or, many at a time, raw JSON."""
        checked = Checked()
        parsed: list[_Parsed] = []
        for first in range(0, len(pdus), BATCH):
            batch = pdus[first : first + BATCH]
            if len(batch) < OFFLOAD_FROM:
                found = _parse_all(batch, version, room_id, backfilled=backfilled)
            else:
                parse = partial(_parse_all, batch, version, room_id, backfilled=backfilled)
                found = await self._elsewhere(parse)
            parsed.extend(found[0])
            checked.refused.update(found[1])
        failed = await self._signatures.verify_events([each.event for each in parsed])
        for each in parsed:
            event = each.event
            if event.event_id in failed:
                checked.refused[event.event_id] = str(failed[event.event_id])
                if isinstance(failed[event.event_id], KeysUnavailable):
                    checked.unverified[event.event_id] = event
            else:
                checked.events.append(event if each.is_whole else redact_event(event))
        return checked

    async def check_one(self, pdu: Any, version: RoomVersion, room_id: RoomID) -> Event:
        """Check a single event.

        Raises:
            InvalidEvent: it has not the form of the room's version.
            InvalidSignature: it is not signed as it must be.
        """
        parsed = _parse(pdu, version, room_id, backfilled=False)
        failed = await self._signatures.verify_events([parsed.event])
        if failed:
            raise failed[parsed.event.event_id]
        return parsed.event if parsed.is_whole else redact_event(parsed.event)


def _parse_all(
    pdus: Sequence[Any], version: RoomVersion, room_id: RoomID, *, backfilled: bool
) -> tuple[list[_Parsed], dict[EventID, str]]:
    parsed: list[_Parsed] = []
    refused: dict[EventID, str] = {}
    for pdu in pdus:
        try:
            parsed.append(_parse(pdu, version, room_id, backfilled=backfilled))
        except HearthError as error:
            event_id = find_event_id(pdu, version)
            if event_id is not None:
                refused[event_id] = str(error)
    return parsed, refused


def _parse(pdu: Any, version: RoomVersion, room_id: RoomID, *, backfilled: bool) -> _Parsed:
    if isinstance(pdu, msgspec.Raw):
        pdu = decode_json(bytes(pdu))
    event = Event.from_pdu(pdu, version, backfilled=backfilled)
    if event.room_id != room_id:
        raise InvalidEvent(f"the event is of the room {event.room_id}, not of {room_id}")
    if not event.prev_events and event.type != "m.room.create":
        raise InvalidEvent("only a create event follows no other event")
    return _Parsed(event, has_valid_content_hash(pdu, version))


def find_event_id(pdu: Any, version: RoomVersion) -> EventID | None:
    """The ID of something that may not be an event."""
    if not isinstance(pdu, dict):
        return None
    try:
        event_id = event_id_of({key: value for key, value in pdu.items() if key != "unsigned"}, version)
    except (HearthError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return event_id if isinstance(event_id, str) else None
