"""The form that a room version prescribes for an event: step 1 of receiving one.

Spec: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import InvalidEvent
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import MAX_ID_BYTES, is_room_id, is_user_id

MAX_EVENT_BYTES = 65_536
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10


def check_format(pdu: Any, version: RoomVersion, *, backfilled: bool = False) -> None:
    """Whether a parsed event has every field that its room version wants, of the right type and size.

    The size of the whole and canonical JSON are checked by whoever encodes it.

    Raises:
        InvalidEvent: naming the first field that is wrong.
    """
    if not isinstance(pdu, dict):
        raise InvalidEvent("an event is an object")
    _check_string(pdu, "type")
    sender = _check_string(pdu, "sender")
    if not is_user_id(sender):
        raise InvalidEvent(f"the sender {sender!r} is not a user ID")
    if "state_key" in pdu:
        _check_string(pdu, "state_key")
    _check_room_id(pdu, version)
    if not version.event_ids_are_hashes:
        event_id = _check_string(pdu, "event_id")
        if not event_id.startswith("$"):
            raise InvalidEvent(f"{event_id!r} is not an event ID")
    if not isinstance(pdu.get("content"), dict):
        raise InvalidEvent("content must be an object")
    if not 0 <= _integer(pdu, "depth") <= version.max_depth:
        raise InvalidEvent(f"depth must be between 0 and {version.max_depth}")
    _integer(pdu, "origin_server_ts")
    _check_proof(pdu)
    _check_references(pdu, "prev_events", version, limit=None if backfilled else MAX_PREV_EVENTS)
    _check_references(pdu, "auth_events", version, limit=MAX_AUTH_EVENTS)


def check_id_length(what: str, value: str) -> None:
    """Whether a field of an event fits into the 255 bytes that the spec allows it.

    Raises:
        InvalidEvent: it does not, or is no text.
    """
    try:
        if len(value) > MAX_ID_BYTES or (not value.isascii() and len(value.encode()) > MAX_ID_BYTES):
            raise InvalidEvent(f"{what} is longer than {MAX_ID_BYTES} bytes")
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"{what} holds half a surrogate pair") from error


def _check_string(pdu: dict[str, Any], field: str) -> str:
    value = pdu.get(field)
    if not isinstance(value, str):
        raise InvalidEvent(f"{field} must be a string")
    check_id_length(field, value)
    return value


def _integer(pdu: dict[str, Any], field: str) -> int:
    value = pdu.get(field)
    if type(value) is not int:
        raise InvalidEvent(f"{field} must be an integer")
    return value


def _check_room_id(pdu: dict[str, Any], version: RoomVersion) -> None:
    # A create event of version 12 that claims a room ID is well formed; authorization rule 1.2 refuses it.
    if version.room_id_is_create_event_id and pdu["type"] == "m.room.create" and "room_id" not in pdu:
        return
    room_id = _check_string(pdu, "room_id")
    if not is_room_id(room_id):
        raise InvalidEvent(f"{room_id!r} is not a room ID")


def _check_proof(pdu: dict[str, Any]) -> None:
    hashes, signatures = pdu.get("hashes"), pdu.get("signatures")
    if not isinstance(hashes, dict):
        raise InvalidEvent("hashes must be an object")
    if not isinstance(signatures, dict) or not all(isinstance(value, dict) for value in signatures.values()):
        raise InvalidEvent("signatures must be an object of objects")


def _check_references(pdu: dict[str, Any], field: str, version: RoomVersion, *, limit: int | None) -> None:
    references = pdu.get(field)
    if not isinstance(references, list):
        raise InvalidEvent(f"{field} must be a list")
    if limit is not None and len(references) > limit:
        raise InvalidEvent(f"{field} has {len(references)} entries, more than {limit}")
    for reference in references:
        if version.references_carry_hashes:
            if not (isinstance(reference, list) and len(reference) == 2 and isinstance(reference[1], dict)):
                raise InvalidEvent(f"{field} must hold pairs of event ID and hash")
            reference = reference[0]
        if not isinstance(reference, str):
            raise InvalidEvent(f"{field} must hold event IDs")
        check_id_length(field, reference)
