"""Which rooms a request is about: the user's rooms in order, filtered, and cut to windows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from homeserver.ids import RoomID, UserID
from homeserver.rooms.registry import Rooms
from homeserver.rooms.stripped import StrippedStates
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.sliding.connections import Progress
from homeserver.sync.sliding.request import ListFilters, RoomConfig, SlidingRequest
from storage import account_data
from storage.database import Database
from storage.transaction import Transaction

REMEMBERED = 10_000
SHOWN = frozenset({"join", "invite", "knock"})
NEVER_THERE = frozenset({None, "invite", "knock"})
"""What those were before they were put out who had never been in the room."""


@dataclass(slots=True)
class Chosen:
    """The rooms to look at with their configurations, the lists' lengths, and which list holds which room."""

    configs: dict[RoomID, RoomConfig] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lists_of: dict[RoomID, list[str]] = field(default_factory=dict)
    windows: dict[str, list[RoomID]] = field(default_factory=dict)
    directs: frozenset[str] = frozenset()


class RoomLists:
    """Chooses rooms."""

    def __init__(self, db: Database, rooms: Rooms, stripped: StrippedStates) -> None:
        self._db = db
        self._rooms = rooms
        self._stripped = stripped
        self._directs: OrderedDict[UserID, tuple[int, frozenset[str]]] = OrderedDict()
        """The direct rooms of users, as of the place where their account data last changed."""

    async def choose(self, feed: Feed, request: SlidingRequest, progress: Progress) -> Chosen:
        """The rooms in windows and subscriptions."""
        chosen = Chosen(directs=await self._direct_rooms(feed))
        ordered = self._ordered(feed, progress)
        for name, wanted in request.lists.items():
            rooms = await self._filtered(feed, ordered, wanted.filters, chosen.directs)
            chosen.counts[name] = len(rooms)
            window = [rooms[index] for index in sorted(wanted.indices(len(rooms)))]
            chosen.windows[name] = window
            for room_id in window:
                self._add(chosen, room_id, wanted.room)
                chosen.lists_of.setdefault(room_id, []).append(name)
        for room_id, config in request.subscriptions.items():
            room = await self._rooms.find_or_load(room_id)
            if room_id in feed.rooms or (room is not None and room.history_visibility == "world_readable"):
                self._add(chosen, room_id, config)
        return chosen

    async def _direct_rooms(self, feed: Feed) -> frozenset[str]:
        known = self._directs.get(feed.user_id)
        if known is None or known[0] != feed.account_data:
            # What changes while this reads is read again.
            known = (feed.account_data, await self._db.read(_direct_rooms, feed.user_id))
            self._directs[feed.user_id] = known
            while len(self._directs) > REMEMBERED:
                self._directs.popitem(last=False)
        return known[1]

    @staticmethod
    def _add(chosen: Chosen, room_id: RoomID, config: RoomConfig) -> None:
        known = chosen.configs.get(room_id)
        chosen.configs[room_id] = config if known is None else known.union(config)

    @staticmethod
    def _ordered(feed: Feed, progress: Progress) -> list[RoomID]:
        """The rooms that a list can have, the one that moved last first."""

        def is_shown(room_id: RoomID, view: RoomView) -> bool:
            if view.membership in SHOWN:
                return True
            # Who was kicked or banned is told; who was never there, or left by themselves, knows what they need.
            was_put_out = view.sender != feed.user_id and view.previous not in NEVER_THERE
            return was_put_out or room_id in progress.rooms

        shown = [room_id for room_id, view in feed.rooms.items() if is_shown(room_id, view)]
        shown.sort(key=lambda room_id: feed.rooms[room_id].last_event, reverse=True)
        return shown

    async def _filtered(
        self, feed: Feed, ordered: Sequence[RoomID], filters: ListFilters, directs: frozenset[str]
    ) -> list[RoomID]:
        if filters == ListFilters():
            return list(ordered)
        tags: Mapping[str, frozenset[str]] = {}
        if filters.tags is not None or filters.not_tags is not None:
            tags = await self._db.read(_tags, feed.user_id)
        children: frozenset[str] | None = None
        if filters.spaces is not None:
            children = await self._children(feed, filters.spaces)
        found: list[RoomID] = []
        for room_id in ordered:
            view = feed.rooms[room_id]
            if filters.is_invited is not None and (view.membership == "invite") != filters.is_invited:
                continue
            if filters.is_dm is not None and (room_id in directs) != filters.is_dm:
                continue
            own = tags.get(room_id, frozenset())
            if filters.not_tags is not None and not own.isdisjoint(filters.not_tags):
                continue
            if filters.tags is not None and own.isdisjoint(filters.tags):
                continue
            if children is not None and room_id not in children:
                continue
            if filters.needs_rooms and not await self._fits(feed.user_id, room_id, view, filters):
                continue
            found.append(room_id)
        return found

    async def _fits(self, user_id: UserID, room_id: RoomID, view: RoomView, filters: ListFilters) -> bool:
        room = self._rooms.find(room_id)
        if room is None and view.membership not in ("invite", "knock"):
            room = await self._rooms.find_or_load(room_id)
        if room is not None:
            return _matches(filters, is_encrypted=room.is_encrypted, kind=room.room_type)
        # Of a room elsewhere there is what came with the invitation.
        state = {each.get("type"): each.get("content") for each in await self._stripped.of(room_id, user_id)}
        creation = state.get("m.room.create")
        kind = creation.get("type") if isinstance(creation, dict) else None
        return _matches(
            filters,
            is_encrypted="m.room.encryption" in state,
            kind=kind if isinstance(kind, str) else None,
        )

    async def _children(self, feed: Feed, spaces: Sequence[str]) -> frozenset[str]:
        """The rooms that joined spaces name, without looking any deeper."""
        children: set[str] = set()
        for space in spaces:
            view = feed.rooms.get(RoomID(space))
            room = (
                None
                if view is None or view.membership != "join"
                else await self._rooms.find_or_load(RoomID(space))
            )
            if room is not None:
                children.update(
                    key[1]
                    for key, event in room.state.items()
                    if key[0] == "m.space.child" and event.content.get("via")
                )
        return frozenset(children)


def _matches(filters: ListFilters, *, is_encrypted: bool, kind: str | None) -> bool:
    if filters.is_encrypted is not None and is_encrypted != filters.is_encrypted:
        return False
    if filters.not_room_types is not None and kind in filters.not_room_types:
        return False
    return filters.room_types is None or kind in filters.room_types


def _direct_rooms(txn: Transaction, user_id: UserID) -> frozenset[str]:
    content = account_data.find(txn, user_id, None, "m.direct")
    found = {} if content is None else msgspec.json.decode(content)
    if not isinstance(found, dict):
        return frozenset()
    return frozenset(
        room for rooms in found.values() if isinstance(rooms, list) for room in rooms if isinstance(room, str)
    )


def _tags(txn: Transaction, user_id: UserID) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for row in account_data.list_after(txn, user_id, -1):
        if row.room_id is not None and row.type == "m.tag":
            tags = msgspec.json.decode(row.content).get("tags")
            found[row.room_id] = frozenset(tags) if isinstance(tags, dict) else frozenset()
    return found
