"""Power levels: who may do what in a room.

Old room versions wrote levels as strings and floats, version 12 gives creators infinite power: both end here.
Spec: https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import StateKey

INFINITE: Final = 1 << 64
"""The power of creators as of room version 12: more than any integer that canonical JSON can carry."""

POWER_LEVELS: Final = ("m.room.power_levels", "")
CREATE: Final = ("m.room.create", "")

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,400}\s*")


def parse_level(value: object, version: RoomVersion) -> int | None:
    """The level that a value stands for in this room version; None if it is no level."""
    if type(value) is int:
        return value
    if type(value) is str and version.string_power_levels and _INTEGER.fullmatch(value):
        return int(value)
    if type(value) is float and version.float_power_levels and math.isfinite(value):
        return math.trunc(value)
    return None


def creators_of(create: Event) -> frozenset[str]:
    """The room's creators: one until room version 11, any number as of 12."""
    if create.version.creator_in_content:
        creator = create.content.get("creator")
        return frozenset({creator}) if isinstance(creator, str) else frozenset()
    creators = {str(create.sender)}
    if create.version.creators_are_almighty:
        additional = create.content.get("additional_creators")
        if isinstance(additional, list):
            creators.update(user_id for user_id in additional if isinstance(user_id, str))
    return frozenset(creators)


class PowerLevels:
    """The levels in force, given the power levels event, or its absence, and the create event.

    Nothing is computed before it is asked for: most checks look at two levels.
    """

    __slots__ = ("_content", "_events", "_users", "_version", "creators")

    def __init__(
        self, content: dict[str, Any] | None, creators: frozenset[str], version: RoomVersion
    ) -> None:
        """`content` is that of the power levels event, None if the room has none."""
        self._version = version
        self._content = content or {}
        self._events = _mapping(self._content, "events")
        self._users = _mapping(self._content, "users")
        self.creators = creators if version.creators_are_almighty else _NOBODY
        """Those whose power is infinite: nobody before room version 12."""
        if content is None and not version.creators_are_almighty:
            self._users = dict.fromkeys(creators, 100)

    @classmethod
    def of(cls, power_event: Event | None, create: Event, version: RoomVersion) -> PowerLevels:
        """The levels that these two events make; without a power levels event the defaults apply."""
        return cls(None if power_event is None else power_event.content, creators_of(create), version)

    @classmethod
    def of_state(cls, state: Mapping[StateKey, Event], create: Event) -> PowerLevels:
        """The levels in a room of this state."""
        return cls.of(state.get(POWER_LEVELS), create, create.version)

    def user(self, user_id: str) -> int:
        """The user's own level."""
        if user_id in self.creators:
            return INFINITE
        level = parse_level(self._users.get(user_id), self._version)
        return self.users_default if level is None else level

    def event(self, event_type: str, *, is_state: bool) -> int:
        """The level required to send an event of this type."""
        level = parse_level(self._events.get(event_type), self._version)
        if level is not None:
            return level
        return self.state_default if is_state else self.events_default

    def notification(self, key: str) -> int:
        """The level required to notify everybody by this key, such as `room`."""
        level = parse_level(_mapping(self._content, "notifications").get(key), self._version)
        return 50 if level is None else level

    @property
    def users_default(self) -> int:
        return self._value("users_default", 0)

    @property
    def events_default(self) -> int:
        return self._value("events_default", 0)

    @property
    def state_default(self) -> int:
        return self._value("state_default", 50)

    @property
    def ban(self) -> int:
        return self._value("ban", 50)

    @property
    def kick(self) -> int:
        return self._value("kick", 50)

    @property
    def redact(self) -> int:
        return self._value("redact", 50)

    @property
    def invite(self) -> int:
        return self._value("invite", 0)

    def _value(self, name: str, default: int) -> int:
        level = parse_level(self._content.get(name), self._version)
        return default if level is None else level


_NOBODY: frozenset[str] = frozenset()


def _mapping(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}
