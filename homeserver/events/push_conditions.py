"""The conditions of push rules, compiled.

A condition is about the event and its room, which is the same for all users, or about one user: their ID,
their name, their subscription. The first kind is tested once for all; the second says beforehand whom it can
concern.
Spec: https://spec.matrix.org/v1.19/client-server-api/#conditions-1
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from homeserver.events.event import Event
from homeserver.events.glob import compile_glob, has_word
from homeserver.events.power_levels import PowerLevels
from homeserver.events.property_paths import PropertyPath, parse_path
from homeserver.events.push_rule_defaults import YOU
from homeserver.ids import EventID

MAX_PATTERN = 512
"""Patterns that are longer match nothing; nobody looks for a word of that length."""

EVERYBODY: Collection[str] | None = None
"""The answer of `PersonalCondition.concerns` when any user may fulfil the condition."""

BODY: PropertyPath = ("content", "body")
_ABSENT = object()
_COUNT = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,15})", re.ASCII)


class EventView:
    """An event as push rules look at it, with what they ask about its room."""

    __slots__ = ("content", "event", "member_count", "outcomes", "power_levels", "thread_root")

    def __init__(
        self,
        event: Event,
        *,
        member_count: int,
        power_levels: PowerLevels,
        thread_root: EventID | None = None,
    ) -> None:
        self.event = event
        self.content = event.content
        self.member_count = member_count
        """How many users are joined."""
        self.power_levels = power_levels
        self.thread_root = thread_root
        """The thread that the event is part of."""
        self.outcomes: dict[object, Any] = {}
        """What rule sets have made of the event so far."""


Property = Callable[[EventView], object]
"""Reads one property of an event; `_ABSENT` if there is none."""


def read_property(path: PropertyPath) -> Property:
    """The reader of the property at this path."""
    first, *inner = path
    if first == "content" and len(inner) == 1:
        (name,) = inner
        return lambda view: view.content.get(name, _ABSENT)
    if not inner and first in _FIELDS:
        return lambda view: _present(getattr(view.event, first))

    def read(view: EventView) -> object:
        value: object = view.content if first == "content" else view.event.pdu.get(first, _ABSENT)
        for name in inner:
            if not isinstance(value, dict):
                return _ABSENT
            value = value.get(name, _ABSENT)
        return value

    return read


def _present(value: object) -> object:
    """No field that `Event` has can be null."""
    return _ABSENT if value is None else value


_FIELDS = frozenset({"type", "state_key", "sender", "room_id", "event_id", "origin_server_ts", "depth"})


class Reader:
    """A user for whom rules are evaluated."""

    __slots__ = ("display_name", "is_subscribed", "user_id")

    def __init__(self, user_id: str, *, display_name: str | None = None, is_subscribed: bool = False) -> None:
        self.user_id = user_id
        self.display_name = display_name
        """Their name in the room."""
        self.is_subscribed = is_subscribed
        """Whether they are subscribed to the event's thread."""


SharedCondition = Callable[[EventView], bool]
"""Whether the event fulfils a condition that is the same for all users."""


class PersonalCondition(Protocol):
    """A condition that may hold for some users and not for others."""

    def concerns(self, view: EventView) -> Collection[str] | None:
        """The users for whom the condition can hold; `EVERYBODY` if it takes a closer look."""

    def holds(self, view: EventView, reader: Reader) -> bool:
        """Whether it holds for this user."""


class IsYou:
    """The property is the user's own ID."""

    def __init__(self, path: PropertyPath) -> None:
        self._read = read_property(path)

    def concerns(self, view: EventView) -> Collection[str] | None:
        value = self._read(view)
        return (value,) if isinstance(value, str) else ()

    def holds(self, view: EventView, reader: Reader) -> bool:
        return self._read(view) == reader.user_id


class ContainsYou:
    """The property is a list with the user's own ID."""

    def __init__(self, path: PropertyPath) -> None:
        self._read = read_property(path)

    def concerns(self, view: EventView) -> Collection[str] | None:
        value = self._read(view)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else ()

    def holds(self, view: EventView, reader: Reader) -> bool:
        value = self._read(view)
        return isinstance(value, list) and reader.user_id in value


class ContainsDisplayName:
    """The body has the user's display name as a word."""

    def concerns(self, view: EventView) -> Collection[str] | None:
        return EVERYBODY if isinstance(view.content.get("body"), str) else ()

    def holds(self, view: EventView, reader: Reader) -> bool:
        body, name = view.content.get("body"), reader.display_name
        if not isinstance(body, str) or not name or len(name) > MAX_PATTERN:
            return False
        return has_word(body, name)


class ThreadSubscription:
    """The event is in a thread to which the user is, or is not, subscribed (MSC4306)."""

    def __init__(self, *, subscribed: bool) -> None:
        self._subscribed = subscribed

    def concerns(self, view: EventView) -> Collection[str] | None:
        return () if view.thread_root is None else EVERYBODY

    def holds(self, view: EventView, reader: Reader) -> bool:
        return view.thread_root is not None and reader.is_subscribed is self._subscribed


Condition = SharedCondition | PersonalCondition


def compile_condition(condition: Mapping[str, Any]) -> Condition | None:
    """The condition, ready to be tested; None if it can never hold, as those that nobody knows cannot."""
    match condition:
        case {"kind": "event_match", "key": str(key), "pattern": str(pattern)}:
            return IsYou(parse_path(key)) if pattern == YOU else property_matches(parse_path(key), pattern)
        case {"kind": "event_property_is", "key": str(key), "value": value} if _is_simple(value):
            return _property_is(parse_path(key), value)
        case {"kind": "event_property_contains", "key": str(key), "value": value} if _is_simple(value):
            return _property_contains(parse_path(key), value)
        case {"kind": "contains_display_name"}:
            return ContainsDisplayName()
        case {"kind": "room_member_count", "is": str(bounds)}:
            return _member_count(bounds)
        case {"kind": "sender_notification_permission", "key": str(key)}:
            return _sender_permission(key)
        case {
            "kind": "thread_subscription" | "io.element.msc4306.thread_subscription",
            "subscribed": bool(subscribed),
        }:
            return ThreadSubscription(subscribed=subscribed)
    return None


def property_matches(path: PropertyPath, pattern: str) -> SharedCondition | None:
    """The condition that the property is, or for a body that it contains, what the pattern describes."""
    if len(pattern) > MAX_PATTERN:
        return None
    glob = compile_glob(pattern, ignore_case=True)
    test = glob.is_in if path == BODY else glob.matches
    read = read_property(path)

    def matches(view: EventView) -> bool:
        value = read(view)
        return isinstance(value, str) and test(value)

    return matches


def _property_is(path: PropertyPath, expected: object) -> SharedCondition:
    kind = type(expected)
    read = read_property(path)

    def matches(view: EventView) -> bool:
        value = read(view)
        return type(value) is kind and value == expected

    return matches


def _property_contains(path: PropertyPath, expected: object) -> Condition:
    if expected == YOU:
        return ContainsYou(path)
    kind = type(expected)
    read = read_property(path)

    def matches(view: EventView) -> bool:
        value = read(view)
        return isinstance(value, list) and any(type(item) is kind and item == expected for item in value)

    return matches


def _member_count(bounds: str) -> SharedCondition | None:
    parsed = _COUNT.fullmatch(bounds)
    if parsed is None:
        return None
    compare, bound = _COMPARISONS[parsed[1] or "=="], int(parsed[2])
    return lambda view: compare(view.member_count, bound)


def _sender_permission(key: str) -> SharedCondition:
    def matches(view: EventView) -> bool:
        levels = view.power_levels
        return levels.user(view.event.sender) >= levels.notification(key)

    return matches


def _is_simple(value: object) -> bool:
    return value is None or type(value) in (str, int, bool)


_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
