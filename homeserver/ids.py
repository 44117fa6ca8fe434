"""Matrix identifiers: their types, their grammar, and the parts that code may ask for.

Spec: https://spec.matrix.org/v1.19/appendices/#identifier-grammar
"""

from __future__ import annotations

import re
from typing import NewType

from homeserver.errors import InvalidParam

UserID = NewType("UserID", str)
RoomID = NewType("RoomID", str)
EventID = NewType("EventID", str)
RoomAlias = NewType("RoomAlias", str)
ServerName = NewType("ServerName", str)
DeviceID = NewType("DeviceID", str)

StateKey = tuple[str, str]
"""The key of a room's state map: (type, state_key)."""

NAMESPACE = "im.hearth."
"""The prefix of every event type, account data type and EDU that is Hearth's own."""

MAX_ID_BYTES = 255

_SERVER_NAME = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,230})(?::[0-9]{1,5})?", re.ASCII)
_LOCALPART = re.compile(r"[a-z0-9._=/+-]+", re.ASCII)


def _check_length(what: str, value: str) -> None:
    if len(value.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise InvalidParam(f"{what} is longer than {MAX_ID_BYTES} bytes")


def is_server_name(value: str) -> bool:
    return _SERVER_NAME.fullmatch(value) is not None


def parse_server_name(value: str) -> ServerName:
    if not is_server_name(value):
        raise InvalidParam(f"{value!r} is not a server name")
    return ServerName(value)


def is_user_id(value: object) -> bool:
    """Whether events may carry `value` as a user ID: historical localparts are allowed."""
    if not isinstance(value, str) or not value.startswith("@") or "\0" in value:
        return False
    _, colon, domain = value.partition(":")
    return (
        bool(colon) and is_server_name(domain) and len(value.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES
    )


def parse_user_id(value: str) -> UserID:
    if not is_user_id(value):
        raise InvalidParam(f"{value!r} is not a user ID")
    return UserID(value)


def is_localpart(value: str) -> bool:
    """Whether a new user may be registered under this localpart."""
    return _LOCALPART.fullmatch(value) is not None


def is_room_id(value: object) -> bool:
    """Whether `value` has the shape of a room ID of any room version; those of version 12 have no domain."""
    return (
        isinstance(value, str)
        and len(value) > 1
        and value[0] == "!"
        and "\0" not in value
        and len(value.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES
    )


def parse_room_id(value: str) -> RoomID:
    _check_length("the room ID", value)
    if not is_room_id(value):
        raise InvalidParam(f"{value!r} is not a room ID")
    return RoomID(value)


def parse_room_alias(value: str) -> RoomAlias:
    _check_length("the room alias", value)
    localpart, colon, domain = value.partition(":")
    if not localpart.startswith("#") or not colon or not is_server_name(domain) or "\0" in value:
        raise InvalidParam(f"{value!r} is not a room alias")
    return RoomAlias(value)


def parse_event_id(value: str) -> EventID:
    _check_length("the event ID", value)
    if len(value) < 2 or value[0] != "$":
        raise InvalidParam(f"{value!r} is not an event ID")
    return EventID(value)


def domain_of(identifier: str) -> ServerName:
    """The server name of a user ID or room alias.

    Never ask it of a room ID: those of room version 12 have none.
    """
    return ServerName(identifier.partition(":")[2])


def localpart_of(identifier: str) -> str:
    """What stands between the sigil and the first colon."""
    return identifier[1:].partition(":")[0]
