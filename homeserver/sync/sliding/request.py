"""What a client asks of sliding sync, whichever dialect it speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.errors import InvalidParam
from homeserver.ids import DeviceID, RoomID, StateKey, UserID

MAX_TIMELINE = 1000
MAX_LISTS = 100
MAX_SUBSCRIPTIONS = 100

Pattern = tuple[str | None, str | None]
"""A (type, state_key) of required state; None matches anything."""


@dataclass(slots=True, frozen=True)
class Selector:
    """Which state entries a client wants of a room."""

    include: frozenset[Pattern] = frozenset()
    exclude: frozenset[Pattern] = frozenset()
    lazy_members: bool = False

    def matches(self, key: StateKey) -> bool:
        return _any_matches(self.include, key) and not (self.exclude and _any_matches(self.exclude, key))

    def union(self, other: Selector) -> Selector:
        """Both together; members are lazy only if neither asks for all of them."""
        return selector(
            self.include | other.include,
            self.exclude & other.exclude,
            lazy=self.lazy_members or other.lazy_members,
        )

    def covers(self, other: Selector) -> bool:
        """Whether whoever was sent this much has all that `other` asks for."""
        if other.lazy_members and not (self.lazy_members or _wants_all_members(self.include)):
            return False
        return other.include <= self.include and self.exclude <= other.exclude


def selector(
    include: frozenset[Pattern], exclude: frozenset[Pattern] = frozenset(), *, lazy: bool = False
) -> Selector:
    """A selector in which members are lazy only if not all of them are asked for."""
    return Selector(include, exclude, lazy_members=lazy and not _wants_all_members(include))


def _wants_all_members(include: frozenset[Pattern]) -> bool:
    return (None, None) in include or ("m.room.member", None) in include


def _any_matches(patterns: frozenset[Pattern], key: StateKey) -> bool:
    event_type, state_key = key
    return (
        (event_type, state_key) in patterns
        or (event_type, None) in patterns
        or (None, state_key) in patterns
        or (None, None) in patterns
    )


@dataclass(slots=True, frozen=True)
class RoomConfig:
    """How much of a room a client wants."""

    timeline_limit: int
    selector: Selector

    def __post_init__(self) -> None:
        if not 0 <= self.timeline_limit <= MAX_TIMELINE:
            raise InvalidParam(f"timeline_limit must be between 0 and {MAX_TIMELINE}")

    def union(self, other: RoomConfig) -> RoomConfig:
        return RoomConfig(max(self.timeline_limit, other.timeline_limit), self.selector.union(other.selector))


@dataclass(slots=True, frozen=True)
class ListFilters:
    """Which rooms belong to a list; None restricts nothing."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    room_types: Sequence[str | None] | None = None
    not_room_types: Sequence[str | None] | None = None
    tags: Sequence[str] | None = None
    not_tags: Sequence[str] | None = None
    spaces: Sequence[str] | None = None

    @property
    def needs_rooms(self) -> bool:
        """Whether a room's state has to be looked at."""
        return self.is_encrypted is not None or self.room_types is not None or self.not_room_types is not None


@dataclass(slots=True, frozen=True)
class ListConfig:
    """A window, or several, on the user's rooms; without `ranges` on all of them."""

    room: RoomConfig
    ranges: Sequence[tuple[int, int]] | None = None
    filters: ListFilters = ListFilters()

    def indices(self, count: int) -> set[int]:
        if self.ranges is None:
            return set(range(count))
        return {index for first, last in self.ranges for index in range(first, min(last + 1, count))}


@dataclass(slots=True, frozen=True)
class SlidingRequest:
    """One request; nothing in it is remembered for the next."""

    user_id: UserID
    device_id: DeviceID | None
    conn_id: str = ""
    pos: str | None = None
    timeout_ms: int = 0
    lists: Mapping[str, ListConfig] = field(default_factory=dict)
    subscriptions: Mapping[RoomID, RoomConfig] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    is_stable: bool = False
    """Whether the answer is in the dialect of `/v4/sync`."""

    def __post_init__(self) -> None:
        if len(self.lists) > MAX_LISTS:
            raise InvalidParam(f"at most {MAX_LISTS} lists may be asked for")
        if len(self.subscriptions) > MAX_SUBSCRIPTIONS:
            raise InvalidParam(f"at most {MAX_SUBSCRIPTIONS} rooms may be subscribed to")
