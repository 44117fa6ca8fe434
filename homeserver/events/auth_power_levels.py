"""Authorization rule 10: nobody grants power that they do not have.

Until room version 9 levels may be strings, until 5 floats; a value that is no level at all has no effect
there, which makes it as harmless as one that is missing, except among `users`.
Spec: https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from homeserver.errors import AuthRejected
from homeserver.events.event import Event
from homeserver.events.power_levels import POWER_LEVELS, PowerLevels, creators_of, parse_level
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import StateKey, is_user_id

_SCALARS = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")
_MAPPINGS = ("events", "notifications")


def check_power_levels(
    event: Event, state: Mapping[StateKey, Event], create: Event, levels: PowerLevels
) -> None:
    """Rule 10: may the sender set these power levels?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    version, content = event.version, event.content
    _check_types(content, version)
    # 10.4 Creators need no entry, and nothing may look as if it could demote them.
    if version.creators_are_almighty:
        for creator in creators_of(create):
            if creator in content.get("users", {}):
                raise AuthRejected("10.4", f"{creator} is a creator, whose power is not for setting")
    # 10.5 The first power levels of a room are what they are.
    before = state.get(POWER_LEVELS)
    if before is None:
        return
    old, mine = before.content, levels.user(event.sender)
    # 10.6 Neither from above one's own level, nor to above it.
    _check_changes("10.6.1", "10.6.2", _scalars(old), _scalars(content), mine, version)
    for name in _MAPPINGS if version.limit_notifications else _MAPPINGS[:1]:
        # 10.7 and 10.8
        _check_changes("10.7.1", "10.8.1", _mapping(old, name), _mapping(content, name), mine, version)
    old_users, new_users = _mapping(old, "users"), _mapping(content, "users")
    # 10.9 One's peers are out of reach, oneself is not.
    for user_id, value in _altered(old_users, new_users):
        level = parse_level(value, version)
        if user_id != event.sender and level is not None and level >= mine:
            raise AuthRejected("10.9.1", f"{user_id} is as powerful as the sender")
    # 10.10
    _check_new_values("10.10.1", old_users, new_users, mine, version)


def _check_types(content: dict[str, Any], version: RoomVersion) -> None:
    """Rules 10.1 to 10.3."""
    # 10.1
    for name in _SCALARS:
        if name in content and _is_refused(content[name], version):
            raise AuthRejected("10.1", f"{name} is not an integer")
    # 10.2
    for name in _MAPPINGS:
        if name not in content:
            continue
        entries = content[name]
        if not isinstance(entries, dict):
            if version.integer_power_levels:
                raise AuthRejected("10.2", f"{name} is not an object")
            continue
        for key, value in entries.items():
            if _is_refused(value, version):
                raise AuthRejected("10.2", f"the level of {key} in {name} is not an integer")
    # 10.3
    users = content.get("users", {})
    if not isinstance(users, dict):
        raise AuthRejected("10.3", "users is not an object")
    for user_id, value in users.items():
        if not is_user_id(user_id):
            raise AuthRejected("10.3", f"{user_id!r} is not a user ID")
        if parse_level(value, version) is None:
            raise AuthRejected("10.3", f"the level of {user_id} is not an integer")


def _is_refused(value: object, version: RoomVersion) -> bool:
    if version.integer_power_levels:
        return type(value) is not int
    return type(value) is float and not math.isfinite(value)


def _check_changes(
    old_rule: str,
    new_rule: str,
    old: dict[str, Any],
    new: dict[str, Any],
    mine: int,
    version: RoomVersion,
) -> None:
    for key, value in _altered(old, new):
        level = parse_level(value, version)
        if level is not None and level > mine:
            raise AuthRejected(old_rule, f"{key} is {level}, which is above the sender's own level")
    _check_new_values(new_rule, old, new, mine, version)


def _check_new_values(
    rule: str, old: dict[str, Any], new: dict[str, Any], mine: int, version: RoomVersion
) -> None:
    for key, value in _altered(new, old):
        level = parse_level(value, version)
        if level is not None and level > mine:
            raise AuthRejected(rule, f"{key} would be {level}, which is above the sender's own level")


def _altered(these: dict[str, Any], those: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of `these` that `those` lack or give another value."""
    for key, value in these.items():
        if key not in those or those[key] != value:
            yield key, value


def _scalars(content: dict[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in _SCALARS if name in content}


def _mapping(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}
