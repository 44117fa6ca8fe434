"""Simplified sliding sync in the two dialects that clients speak.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4186
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from homeserver.errors import InvalidParam
from homeserver.http.endpoint import endpoint
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, is_room_id
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.sync.clients import SyncClients
from homeserver.sync.request import SyncRequest
from homeserver.sync.sliding.engine import SlidingSync
from homeserver.sync.sliding.request import (
    ListConfig,
    ListFilters,
    Pattern,
    RoomConfig,
    SlidingRequest,
    selector,
)

PresenceName = Literal["online", "offline", "unavailable"]
MAX_CONN_ID = 255


class FiltersBody(msgspec.Struct, kw_only=True):
    """Both dialects: `is_invite` is the older name of `is_invited`."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    is_invited: bool | None = None
    room_types: list[str | None] | None = None
    not_room_types: list[str | None] | None = None
    tags: list[str] | None = None
    not_tags: list[str] | None = None
    spaces: list[str] | None = None

    def parse(self) -> ListFilters:
        return ListFilters(
            is_dm=self.is_dm,
            is_encrypted=self.is_encrypted,
            is_invited=self.is_invite if self.is_invited is None else self.is_invited,
            room_types=self.room_types,
            not_room_types=self.not_room_types,
            tags=self.tags,
            not_tags=self.not_tags,
            spaces=self.spaces,
        )


class UnstableRoom(msgspec.Struct, kw_only=True):
    timeline_limit: int = 0
    required_state: list[tuple[str, str]] = []

    def parse(self, who: Requester) -> RoomConfig:
        patterns = [each for each in self.required_state if each != ("m.room.member", "$LAZY")]
        include = frozenset(_pattern(who, kind, key) for kind, key in patterns)
        return RoomConfig(
            self.timeline_limit,
            selector(include, lazy=len(patterns) < len(self.required_state)),
        )


class UnstableList(UnstableRoom, kw_only=True):
    ranges: list[tuple[int, int]] | None = None
    filters: FiltersBody | None = None


class UnstableBody(msgspec.Struct, kw_only=True):
    conn_id: str = ""
    lists: dict[str, UnstableList] = {}
    room_subscriptions: dict[str, UnstableRoom] = {}
    extensions: dict[str, Any] = {}
    txn_id: str | None = None


class UnstableQuery(msgspec.Struct):
    """`timeout` in ms."""

    pos: str | None = None
    timeout: int = 0
    set_presence: PresenceName = "online"


class StatePattern(msgspec.Struct, omit_defaults=True):
    type: str | None = None
    state_key: str | None = None


class RequiredState(msgspec.Struct):
    include: list[StatePattern] = []
    exclude: list[StatePattern] = []
    lazy_members: bool = False


class StableRoom(msgspec.Struct, kw_only=True):
    timeline_limit: int
    required_state: RequiredState = msgspec.field(default_factory=RequiredState)

    def parse(self, who: Requester) -> RoomConfig:
        wanted = self.required_state
        include = frozenset(_pattern(who, each.type, each.state_key) for each in wanted.include)
        exclude = frozenset(_pattern(who, each.type, each.state_key) for each in wanted.exclude)
        return RoomConfig(self.timeline_limit, selector(include, exclude, lazy=wanted.lazy_members))


class StableList(StableRoom, kw_only=True):
    range: tuple[int, int] | None = None
    filters: FiltersBody | None = None


class StableBody(msgspec.Struct, kw_only=True):
    """`timeout` in ms."""

    conn_id: str = ""
    pos: str | None = None
    timeout: int = 0
    set_presence: str = "online"
    lists: dict[str, StableList] = {}
    room_subscriptions: dict[str, StableRoom] = {}
    extensions: dict[str, Any] = {}


class SlidingSyncEndpoints:
    """Serves sliding sync."""

    def __init__(self, engine: SlidingSync, clients: SyncClients, limiter: RateLimiter) -> None:
        self._engine = engine
        self._clients = clients
        self._limiter = limiter

    @endpoint("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", guests=True)
    async def sliding_sync_unstable(
        self, who: Requester, query: UnstableQuery, body: UnstableBody, request: Request
    ) -> dict[str, Any]:
        """The dialect of the clients of today.

        Spec: https://spec.matrix.org/unstable/ (MSC4186)
        """
        wanted = SlidingRequest(
            who.user_id,
            who.device_id,
            conn_id=body.conn_id,
            pos=query.pos,
            timeout_ms=query.timeout,
            lists={
                name: ListConfig(each.parse(who), _ranges(each.ranges), _filters(each.filters))
                for name, each in body.lists.items()
            },
            subscriptions={_room_id(room): each.parse(who) for room, each in body.room_subscriptions.items()},
            extensions=body.extensions,
        )
        answer = await self._sync(who, wanted, query.set_presence, request)
        if body.txn_id is not None:
            answer["txn_id"] = body.txn_id
        return answer

    @endpoint("POST", "/_matrix/client/v4/sync", guests=True)
    async def sliding_sync(self, who: Requester, body: StableBody, request: Request) -> dict[str, Any]:
        """The dialect of the accepted proposal.

        Spec: https://spec.matrix.org/unstable/ (MSC4186)
        """
        wanted = SlidingRequest(
            who.user_id,
            who.device_id,
            conn_id=body.conn_id,
            pos=body.pos,
            timeout_ms=body.timeout,
            lists={
                name: ListConfig(
                    each.parse(who),
                    None if each.range is None else _ranges([each.range]),
                    _filters(each.filters),
                )
                for name, each in body.lists.items()
            },
            subscriptions={_room_id(room): each.parse(who) for room, each in body.room_subscriptions.items()},
            extensions=body.extensions,
            is_stable=True,
        )
        return await self._sync(who, wanted, body.set_presence, request)

    async def _sync(
        self, who: Requester, wanted: SlidingRequest, set_presence: str, request: Request
    ) -> dict[str, Any]:
        if set_presence not in get_args(PresenceName):
            raise InvalidParam(f"set_presence: {set_presence[:40]!r} is not a presence")
        if len(wanted.conn_id) > MAX_CONN_ID:
            raise InvalidParam(f"conn_id is longer than {MAX_CONN_ID} characters")
        if wanted.pos is None and who.is_rate_limited:
            # To begin is what costs; a client that goes on is held back by its own wait.
            pending = self._limiter.check("sliding_sync_initial", who.user_id)
            if pending is not None:
                await pending
        everything = self._clients.find_filter(who.user_id, None)
        if everything is not None:
            seen = SyncRequest(who.user_id, who.device_id, everything, since=_place(wanted.pos))
            self._clients.seen(seen, set_presence)
        with self._clients.watch(who) as watch:
            return await self._engine.sync(wanted, request.on_disconnect, watch)


def _pattern(who: Requester, kind: str | None, key: str | None) -> Pattern:
    """A pattern of either dialect; `*` and nothing match anything."""
    state_key = who.user_id if key == "$ME" else key
    return None if kind == "*" else kind, None if state_key == "*" else state_key


def _place(pos: str | None) -> StreamToken | None:
    """What the device says that it has; whether the `pos` is any good the engine decides."""
    try:
        return None if pos is None else parse_token(pos)
    except InvalidParam:
        return None


def _ranges(ranges: list[tuple[int, int]] | None) -> list[tuple[int, int]] | None:
    for first, last in ranges or ():
        if first < 0 or last < first:
            raise InvalidParam(f"[{first}, {last}] is not a range")
    return ranges


def _filters(body: FiltersBody | None) -> ListFilters:
    return ListFilters() if body is None else body.parse()


def _room_id(value: str) -> RoomID:
    if not is_room_id(value):
        raise InvalidParam(f"{value!r} is not a room ID")
    return RoomID(value)
