"""Makes an event of our own: hashed, signed and serialised in as few passes as the specification allows.

The content is encoded once and spliced into the three encodings that an event needs: the whole for the
content hash, the redacted form for the signature and the event ID (of the same bytes), and the result.
Spec: https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from msgspec import Raw

from homeserver.events.canonical_json import encode_canonical, encode_checked
from homeserver.events.event import Event, room_id_of_create
from homeserver.events.format import check_id_length
from homeserver.events.hashes import encode_base64, event_id_of_hash
from homeserver.events.room_versions import V4, RoomVersion
from homeserver.events.signatures import SigningKey, sign_bytes
from homeserver.ids import EventID, RoomID, ServerName, UserID

_OPAQUE_ID_LENGTH = 25
_EMPTY = Raw(b"{}")


def build_event(
    version: RoomVersion,
    *,
    type: str,
    state_key: str | None,
    sender: UserID,
    room_id: RoomID | None,
    content: dict[str, Any],
    prev_events: Sequence[EventID],
    auth_events: Sequence[EventID],
    depth: int,
    origin_server_ts: int,
    server_name: ServerName,
    key: SigningKey,
    redacts: EventID | None = None,
    reference_hashes: Mapping[EventID, str] | None = None,
) -> Event:
    """A signed event of this server. Its size as a whole is for the caller to judge (`Event.size`).

    `room_id` is None for the create event of a room whose ID follows from it. `redacts` goes where the room
    version wants it. `reference_hashes`, in base64, accompany references in room versions 1 and 2.

    Raises:
        InvalidEvent: the content is not canonical JSON and the version insists, or a field is too long.
    """
    check_id_length("the type", type)
    if state_key is not None:
        check_id_length("the state key", state_key)
    if redacts is not None and version.redacts_in_content:
        content = {**content, "redacts": redacts}
    depth = min(depth, version.max_depth)
    encoded_content = Raw(encode_canonical(content, strict=version.strict_canonical_json))
    fields: dict[str, Any] = {
        "auth_events": _references(auth_events, version, reference_hashes),
        "content": encoded_content,
        "depth": depth,
        "origin_server_ts": origin_server_ts,
        "prev_events": _references(prev_events, version, reference_hashes),
        "sender": sender,
        "type": type,
    }
    if room_id is not None:
        fields["room_id"] = room_id
    if state_key is not None:
        fields["state_key"] = state_key
    if redacts is not None and not version.redacts_in_content:
        fields["redacts"] = redacts
    event_id: EventID | None = None
    if not version.event_ids_are_hashes:
        event_id = fields["event_id"] = _opaque_id(fields, server_name)
    fields["hashes"] = {"sha256": encode_base64(sha256(encode_checked(fields)).digest())}

    redacted = {name: value for name, value in fields.items() if name in version.redaction.top_level}
    redacted["content"] = _redacted_content(type, content, encoded_content, version)
    essence = encode_checked(redacted)
    if event_id is None:
        event_id = event_id_of_hash(sha256(essence).digest(), version)
    fields["signatures"] = {server_name: {key.key_id: sign_bytes(essence, key)}}
    return Event(
        version=version,
        event_id=event_id,
        room_id=room_id_of_create(event_id) if room_id is None else room_id,
        type=type,
        state_key=state_key,
        sender=sender,
        origin_server_ts=origin_server_ts,
        depth=depth,
        json=encode_checked(fields),
        content=content,
        prev_events=tuple(prev_events),
        auth_events=tuple(auth_events),
    )


def _references(
    event_ids: Sequence[EventID], version: RoomVersion, hashes: Mapping[EventID, str] | None
) -> list[Any]:
    if not version.references_carry_hashes:
        return list(event_ids)
    known = hashes or {}
    return [[each, {"sha256": known[each]} if each in known else {}] for each in event_ids]


def _redacted_content(type: str, content: dict[str, Any], encoded: Raw, version: RoomVersion) -> Any:
    # Most events are messages, whose redaction leaves nothing, and create events keep all.
    kept = version.redaction.redact_content(type, content)
    if not kept:
        return _EMPTY
    if kept is content:
        return encoded
    return Raw(encode_canonical(kept, strict=version.strict_canonical_json))


def _opaque_id(fields: dict[str, Any], server_name: ServerName) -> EventID:
    """An event ID as room versions 1 and 2 have it, made of a hash so that it takes no randomness."""
    digest = event_id_of_hash(sha256(encode_checked(fields)).digest(), V4)
    return EventID(f"{digest[:_OPAQUE_ID_LENGTH]}:{server_name}")
