"""Filters: which events a client wants, and in which form.

A filter is checked when it is uploaded and compiled once; most requests have none, which `is_default` tells.
Spec: https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from homeserver.errors import BadJson
from homeserver.events.event import Event
from homeserver.events.glob import compile_glob
from homeserver.events.property_paths import PropertyPath, parse_path
from homeserver.events.relations import parse_relation
from homeserver.ids import is_room_id, is_user_id

DEFAULT_LIMIT = 10
MAX_LIMIT = 1000

_T = TypeVar("_T")


class HasEvent(Protocol):
    """Something that stands for an event, such as its place in a timeline."""

    @property
    def event(self) -> Event: ...


class EventFilterJson(msgspec.Struct, omit_defaults=True, frozen=True):
    """The shape of an EventFilter."""

    limit: int | None = None
    types: list[str] | None = None
    not_types: list[str] | None = None
    senders: list[str] | None = None
    not_senders: list[str] | None = None


class RoomEventFilterJson(EventFilterJson, omit_defaults=True, frozen=True):
    """The shape of a RoomEventFilter and of a StateFilter, with what proposals add to it."""

    rooms: list[str] | None = None
    not_rooms: list[str] | None = None
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    related_by_rel_types: list[str] | None = None
    related_by_senders: list[str] | None = None
    rel_types: list[str] | None = msgspec.field(default=None, name="org.matrix.msc3874.rel_types")
    not_rel_types: list[str] | None = msgspec.field(default=None, name="org.matrix.msc3874.not_rel_types")
    # COMPAT(MSC3773): the name from before v1.4, which old clients send.
    msc3773: bool = msgspec.field(default=False, name="org.matrix.msc3773.unread_thread_notifications")


class RoomFilterJson(msgspec.Struct, omit_defaults=True, frozen=True):
    """The shape of a RoomFilter."""

    rooms: list[str] | None = None
    not_rooms: list[str] | None = None
    include_leave: bool = False
    ephemeral: RoomEventFilterJson = RoomEventFilterJson()
    state: RoomEventFilterJson = RoomEventFilterJson()
    timeline: RoomEventFilterJson = RoomEventFilterJson()
    account_data: RoomEventFilterJson = RoomEventFilterJson()


class FilterJson(msgspec.Struct, omit_defaults=True, frozen=True):
    """The shape of a Filter."""

    event_fields: list[str] | None = None
    event_format: Literal["client", "federation"] = "client"
    presence: EventFilterJson = EventFilterJson()
    account_data: EventFilterJson = EventFilterJson()
    room: RoomFilterJson = RoomFilterJson()


class EventFilter:
    """Which events pass, by type and sender."""

    __slots__ = ("_senders", "_types", "has_limit", "is_default", "limit")

    def __init__(self, json: EventFilterJson) -> None:
        for user_id in (*(json.senders or ()), *(json.not_senders or ())):
            if not is_user_id(user_id):
                raise BadJson(f"the filter names a sender {user_id!r}, which is not a user ID")
        if json.limit is not None and json.limit < 0:
            raise BadJson("the filter has a negative limit")
        self.has_limit = json.limit is not None
        self.limit = DEFAULT_LIMIT if json.limit is None else min(json.limit, MAX_LIMIT)
        """How many events are wanted at most."""
        self._types = _type_test(json.types, json.not_types)
        self._senders = _name_test(json.senders, json.not_senders)
        self.is_default = self._types is None and self._senders is None
        """Whether every event passes; the limit does not count."""

    def includes_type(self, event_type: str) -> bool:
        return self._types is None or self._types(event_type)

    def includes_sender(self, sender: str) -> bool:
        return self._senders is None or self._senders(sender)


class RoomEventFilter(EventFilter):
    """Which events of rooms pass."""

    __slots__ = (
        "_contains_url",
        "_not_rel_types",
        "_rel_types",
        "_rooms",
        "include_redundant_members",
        "lazy_load_members",
        "related_by_rel_types",
        "related_by_senders",
        "unread_thread_notifications",
    )

    def __init__(self, json: RoomEventFilterJson) -> None:
        super().__init__(json)
        self._rooms = _room_test(json.rooms, json.not_rooms)
        self._contains_url = json.contains_url
        self._rel_types = None if json.rel_types is None else frozenset(json.rel_types)
        self._not_rel_types = frozenset(json.not_rel_types or ())
        self.lazy_load_members = json.lazy_load_members
        self.include_redundant_members = json.include_redundant_members
        self.unread_thread_notifications = json.unread_thread_notifications or json.msc3773
        self.related_by_rel_types = (
            None if json.related_by_rel_types is None else frozenset(json.related_by_rel_types)
        )
        """Only events that others relate to in one of these ways; whoever knows relations applies it."""
        self.related_by_senders = (
            None if json.related_by_senders is None else frozenset(json.related_by_senders)
        )
        """Only events that one of these users relates to; whoever knows relations applies it."""
        self.is_default = (
            self.is_default
            and self._rooms is None
            and self._contains_url is None
            and self._rel_types is None
            and not self._not_rel_types
            and not self.needs_relations
        )

    @property
    def needs_relations(self) -> bool:
        """Whether `related_by_...` is left to apply, since `matches` sees only the event itself."""
        return self.related_by_rel_types is not None or self.related_by_senders is not None

    def includes_room(self, room_id: str) -> bool:
        return self._rooms is None or self._rooms(room_id)

    def matches(self, event: Event) -> bool:
        """Whether the event passes, as far as it can be told from the event."""
        if self.is_default:
            return True
        if self._types is not None and not self._types(event.type):
            return False
        if self._senders is not None and not self._senders(event.sender):
            return False
        if self._rooms is not None and not self._rooms(event.room_id):
            return False
        if self._contains_url is not None and ("url" in event.content) is not self._contains_url:
            return False
        return self._matches_relation(event)

    def matches_timeline(self, entry: HasEvent) -> bool:
        """`matches`, for a place in a timeline."""
        return self.matches(entry.event)

    def _matches_relation(self, event: Event) -> bool:
        if self._rel_types is None and not self._not_rel_types:
            return True
        relation = parse_relation(event.content)
        rel_type = None if relation is None else relation.rel_type
        return (
            self._rel_types is None or rel_type in self._rel_types
        ) and rel_type not in self._not_rel_types


class RoomFilter:
    """Which rooms pass, and which events of them."""

    __slots__ = ("_rooms", "account_data", "ephemeral", "include_leave", "is_default", "state", "timeline")

    def __init__(self, json: RoomFilterJson) -> None:
        self._rooms = _room_test(json.rooms, json.not_rooms)
        self.include_leave = json.include_leave
        self.ephemeral = RoomEventFilter(json.ephemeral)
        self.state = RoomEventFilter(json.state)
        self.timeline = RoomEventFilter(json.timeline)
        self.account_data = RoomEventFilter(json.account_data)
        self.is_default = self._rooms is None
        """Whether every room passes."""

    @property
    def lazy_members(self) -> bool:
        """Whether the state is to have only the members who matter to the timeline."""
        return self.state.lazy_load_members

    @property
    def redundant_members(self) -> bool:
        return self.state.include_redundant_members

    @property
    def is_shareable(self) -> bool:
        """Whether events alone decide what passes, so that one reader's answer serves every reader."""
        return not (self.timeline.needs_relations or self.state.needs_relations)

    def includes_room(self, room_id: str) -> bool:
        return self._rooms is None or self._rooms(room_id)


class Filter:
    """A whole filter, as `/sync` takes it."""

    __slots__ = ("account_data", "event_fields", "is_federation_format", "key", "presence", "room")

    def __init__(self, json: FilterJson) -> None:
        self.key = _key(json)
        """A name for what the filter does: "" for the default, the same for filters that do the same."""
        self.event_fields = _paths(json.event_fields)
        """The paths of the only properties that events are to have; None for all."""
        self.is_federation_format = json.event_format == "federation"
        self.presence = EventFilter(json.presence)
        self.account_data = EventFilter(json.account_data)
        self.room = RoomFilter(json.room)

    def prune(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with only the fields that the client wants."""
        if self.event_fields is None:
            return dict(event)
        pruned: dict[str, Any] = {}
        for path in self.event_fields:
            _copy(event, pruned, path)
        return pruned


def parse_filter(definition: object) -> Filter:
    """A filter from its JSON.

    Raises:
        BadJson: it has not the shape of a filter.
    """
    return Filter(_convert(definition, FilterJson))


def parse_room_event_filter(definition: object) -> RoomEventFilter:
    """A RoomEventFilter from its JSON, as the endpoints that page through history take it.

    Raises:
        BadJson: it has not the shape of one.
    """
    return RoomEventFilter(_convert(definition, RoomEventFilterJson))


def check_filter(definition: object) -> None:
    """Refuse what is no filter.

    Raises:
        BadJson: it has not the shape of a filter.
    """
    parse_filter(definition)


def _convert(definition: object, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(definition, shape)
    except msgspec.ValidationError as error:
        raise BadJson(f"not a filter: {error}") from None


_NO_FILTER = msgspec.json.encode(FilterJson())


def _key(json: FilterJson) -> str:
    definition = msgspec.json.encode(json, order="sorted")
    return "" if definition == _NO_FILTER else blake2b(definition, digest_size=12).hexdigest()


def _type_test(types: list[str] | None, not_types: list[str] | None) -> Callable[[str], bool] | None:
    return _test(types, not_types, _type_matcher)


def _name_test(names: list[str] | None, not_names: list[str] | None) -> Callable[[str], bool] | None:
    return _test(names, not_names, lambda names: frozenset(names).__contains__)


def _room_test(rooms: list[str] | None, not_rooms: list[str] | None) -> Callable[[str], bool] | None:
    for room_id in (*(rooms or ()), *(not_rooms or ())):
        if not is_room_id(room_id):
            raise BadJson(f"the filter names a room {room_id!r}, which is not a room ID")
    return _name_test(rooms, not_rooms)


def _test(
    wanted: list[str] | None,
    unwanted: list[str] | None,
    matcher: Callable[[Collection[str]], Callable[[str], bool]],
) -> Callable[[str], bool] | None:
    """Passes what is `wanted` (None: everything) and not `unwanted`; None if there is nothing to test."""
    is_wanted = None if wanted is None else matcher(wanted)
    is_unwanted = matcher(unwanted) if unwanted else None
    if is_unwanted is None:
        return is_wanted
    if is_wanted is None:
        return lambda value: not is_unwanted(value)
    return lambda value: is_wanted(value) and not is_unwanted(value)


def _type_matcher(types: Collection[str]) -> Callable[[str], bool]:
    """Event types, in which `*` stands for any characters and nothing else is special."""
    exact = frozenset(event_type for event_type in types if "*" not in event_type)
    globs = [_star_matcher(event_type) for event_type in types if "*" in event_type]
    if not globs:
        return exact.__contains__
    return lambda event_type: event_type in exact or any(matches(event_type) for matches in globs)


def _star_matcher(pattern: str) -> Callable[[str], bool]:
    head, _, tail = pattern.partition("*")
    if not tail:
        return lambda event_type: event_type.startswith(head)
    return compile_glob(pattern, single_wildcard=False).matches


def _paths(fields: list[str] | None) -> tuple[PropertyPath, ...] | None:
    return None if fields is None else tuple(map(parse_path, fields))


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: PropertyPath) -> None:
    *parents, name = path
    for parent in parents:
        inner = source.get(parent)
        if not isinstance(inner, dict):
            return
        known = target.setdefault(parent, {})
        if known is inner:  # all of it is wanted already
            return
        source, target = inner, known
    if name in source:
        target[name] = source[name]
