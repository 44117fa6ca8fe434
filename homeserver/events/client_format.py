"""An event as clients read it.

The content goes from the stored bytes to the client's without being parsed. `redacts` stands at both places
in every room version, for clients of every age.
Spec: https://spec.matrix.org/v1.19/client-server-api/#room-event-format
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.events.event import Event

_NOTHING: Mapping[str, Any] = {}


class _RawContent(msgspec.Struct):
    content: msgspec.Raw


class _ClientEvent(msgspec.Struct, omit_defaults=True):
    content: Any
    event_id: str
    origin_server_ts: int
    room_id: str
    sender: str
    type: str
    unsigned: Mapping[str, Any]
    state_key: str | msgspec.UnsetType = msgspec.UNSET
    redacts: str | msgspec.UnsetType = msgspec.UNSET


_decode_raw_content = msgspec.json.Decoder(_RawContent).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def client_event(event: Event, unsigned: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The event as a client reads it. `unsigned` is what the server adds: `age`, `transaction_id`..."""
    body: dict[str, Any] = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "room_id": event.room_id,
        "sender": event.sender,
        "type": event.type,
        "unsigned": dict(unsigned or _NOTHING),
    }
    if event.state_key is not None:
        body["state_key"] = event.state_key
    redacts = event.redacts
    if redacts is not None:
        body["redacts"] = redacts
        body["content"] = {**event.content, "redacts": redacts}
    return body


def client_event_json(event: Event, unsigned: Mapping[str, Any] | None = None) -> bytes:
    """`client_event` as bytes, without parsing the event."""
    if event.type == "m.room.redaction":
        return _encode(client_event(event, unsigned))
    state_key = event.state_key
    return _encode(
        _ClientEvent(
            _decode_raw_content(event.json).content,
            event.event_id,
            event.origin_server_ts,
            event.room_id,
            event.sender,
            event.type,
            unsigned or _NOTHING,
            msgspec.UNSET if state_key is None else state_key,
        )
    )


def federation_event_json(event: Event) -> bytes:
    """The event as servers pass it on, for the clients that ask for this format; its ID is told in every version."""
    if "event_id" in _decode_names(event.json):
        return event.json
    return b'{"event_id":%b,%b' % (_encode(event.event_id), event.json[1:])
