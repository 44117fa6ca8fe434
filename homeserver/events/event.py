"""An event of a room: immutable, light, and parsed only as far as somebody asks.

An event holds the canonical bytes of its federation form and the few fields that every reader needs; content
and references are parsed from the bytes on first use. Hence `pdu` is a fresh copy each time, and `content` is
shared: nobody changes it.
Spec: https://spec.matrix.org/v1.19/rooms/
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import InvalidEvent
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.format import MAX_EVENT_BYTES, check_format
from homeserver.events.hashes import event_id_of
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import EventID, RoomID, ServerName, StateKey, UserID, domain_of


class _Content(msgspec.Struct):
    content: dict[str, Any]


class _References(msgspec.Struct):
    prev_events: list[Any]
    auth_events: list[Any]


class _Proof(msgspec.Struct):
    hashes: dict[str, Any] = {}
    signatures: dict[str, Any] = {}


class _Header(msgspec.Struct):
    type: str
    sender: str
    origin_server_ts: int
    depth: int
    room_id: str | None = None
    state_key: str | None = None


class _Redacts(msgspec.Struct):
    redacts: Any = None


_decode = msgspec.json.Decoder().decode
_decode_content = msgspec.json.Decoder(_Content).decode
_decode_references = msgspec.json.Decoder(_References).decode
_decode_proof = msgspec.json.Decoder(_Proof).decode
_decode_header = msgspec.json.Decoder(_Header).decode
_decode_redacts = msgspec.json.Decoder(_Redacts).decode


def event_ids_of(references: list[Any]) -> tuple[EventID, ...]:
    """The event IDs of `prev_events` or `auth_events` of any room version."""
    return tuple(EventID(item if type(item) is str else item[0]) for item in references)


def room_id_of_create(event_id: EventID) -> RoomID:
    """The room ID that follows from the create event's ID, as of room version 12."""
    return RoomID("!" + event_id[1:])


def create_id_of_room(room_id: RoomID) -> EventID:
    """The create event's ID that a room ID of room version 12 names."""
    return EventID("$" + room_id[1:])


class Event:
    """One event, in the form in which it is hashed, signed and stored."""

    __slots__ = (
        "_auth_events",
        "_content",
        "_prev_events",
        "depth",
        "event_id",
        "json",
        "origin_server_ts",
        "room_id",
        "sender",
        "state_key",
        "type",
        "version",
    )

    def __init__(
        self,
        *,
        version: RoomVersion,
        event_id: EventID,
        room_id: RoomID,
        type: str,
        state_key: str | None,
        sender: UserID,
        origin_server_ts: int,
        depth: int,
        json: bytes,
        content: dict[str, Any] | None = None,
        prev_events: tuple[EventID, ...] | None = None,
        auth_events: tuple[EventID, ...] | None = None,
    ) -> None:
        """An event whose fields are known to be those of `json`, which is canonical and has no `unsigned`."""
        self.version = version
        self.event_id = event_id
        self.room_id = room_id
        self.type = type
        self.state_key = state_key
        self.sender = sender
        self.origin_server_ts = origin_server_ts
        self.depth = depth
        self.json = json
        self._content = content
        self._prev_events = prev_events
        self._auth_events = auth_events

    @classmethod
    def from_row(
        cls,
        version: RoomVersion,
        event_id: EventID,
        room_id: RoomID,
        type: str,
        state_key: str | None,
        sender: UserID,
        origin_server_ts: int,
        depth: int,
        json: bytes,
    ) -> Event:
        """An event of our store, from columns alone: nothing is parsed before it is read."""
        self = cls.__new__(cls)
        self.version = version
        self.event_id = event_id
        self.room_id = room_id
        self.type = type
        self.state_key = state_key
        self.sender = sender
        self.origin_server_ts = origin_server_ts
        self.depth = depth
        self.json = json
        self._content = self._prev_events = self._auth_events = None
        return self

    @classmethod
    def from_json(cls, json: bytes, version: RoomVersion, event_id: EventID) -> Event:
        """An event of our store, from its bytes: they are trusted to be what `Event.json` once was."""
        header = _decode_header(json)
        room_id = room_id_of_create(event_id) if header.room_id is None else RoomID(header.room_id)
        return cls.from_row(
            version,
            event_id,
            room_id,
            header.type,
            header.state_key,
            UserID(header.sender),
            header.origin_server_ts,
            header.depth,
            json,
        )

    @classmethod
    def from_pdu(cls, pdu: dict[str, Any], version: RoomVersion, *, backfilled: bool = False) -> Event:
        """An event that somebody else made, from its parsed federation form. `unsigned` is left behind.

        `backfilled` lifts the limit on `prev_events`, as the spec wants of events from `/backfill`.

        Raises:
            InvalidEvent: it has not the form that the room version prescribes.
        """
        check_format(pdu, version, backfilled=backfilled)
        fields = {key: value for key, value in pdu.items() if key != "unsigned"}
        json = encode_canonical(fields, strict=version.strict_canonical_json)
        if len(json) > MAX_EVENT_BYTES:
            raise InvalidEvent(f"the event has {len(json)} bytes, more than {MAX_EVENT_BYTES}")
        event_id = event_id_of(fields, version)
        room_id = fields.get("room_id")
        return cls(
            version=version,
            event_id=event_id,
            room_id=room_id_of_create(event_id) if room_id is None else RoomID(room_id),
            type=fields["type"],
            state_key=fields.get("state_key"),
            sender=UserID(fields["sender"]),
            origin_server_ts=fields["origin_server_ts"],
            depth=fields["depth"],
            json=json,
            content=fields["content"],
            prev_events=event_ids_of(fields["prev_events"]),
            auth_events=event_ids_of(fields["auth_events"]),
        )

    def with_pdu(self, pdu: dict[str, Any]) -> Event:
        """The same event with other bytes, such as its redacted form or one with a further signature."""
        return Event(
            version=self.version,
            event_id=self.event_id,
            room_id=self.room_id,
            type=self.type,
            state_key=self.state_key,
            sender=self.sender,
            origin_server_ts=self.origin_server_ts,
            depth=self.depth,
            json=encode_canonical(pdu, strict=self.version.strict_canonical_json),
            content=pdu["content"],
            prev_events=self._prev_events,
            auth_events=self._auth_events,
        )

    def __repr__(self) -> str:
        return f"Event({self.event_id} {self.type} {self.state_key!r} in {self.room_id})"

    @property
    def key(self) -> StateKey | None:
        """The key under which a state event stands in the state map; None for other events."""
        return None if self.state_key is None else (self.type, self.state_key)

    @property
    def is_state(self) -> bool:
        return self.state_key is not None

    @property
    def domain(self) -> ServerName:
        """The sender's server."""
        return domain_of(self.sender)

    @property
    def size(self) -> int:
        """Bytes of the federation form, which the spec limits."""
        return len(self.json)

    @property
    def content(self) -> dict[str, Any]:
        if self._content is None:
            self._content = _decode_content(self.json).content
        return self._content

    @property
    def prev_events(self) -> tuple[EventID, ...]:
        if self._prev_events is None:
            self._parse_references()
            assert self._prev_events is not None
        return self._prev_events

    @property
    def auth_events(self) -> tuple[EventID, ...]:
        if self._auth_events is None:
            self._parse_references()
            assert self._auth_events is not None
        return self._auth_events

    @property
    def redacts(self) -> EventID | None:
        """The event that this redaction redacts, wherever the room version keeps that."""
        if self.type != "m.room.redaction":
            return None
        target = (
            self.content.get("redacts")
            if self.version.redacts_in_content
            else _decode_redacts(self.json).redacts
        )
        return EventID(target) if isinstance(target, str) else None

    @property
    def hashes(self) -> dict[str, Any]:
        return _decode_proof(self.json).hashes

    @property
    def signatures(self) -> dict[str, Any]:
        return _decode_proof(self.json).signatures

    @property
    def pdu(self) -> dict[str, Any]:
        """The federation form, a fresh copy."""
        parsed: dict[str, Any] = _decode(self.json)
        return parsed

    def _parse_references(self) -> None:
        parsed = _decode_references(self.json)
        self._prev_events = event_ids_of(parsed.prev_events)
        self._auth_events = event_ids_of(parsed.auth_events)
