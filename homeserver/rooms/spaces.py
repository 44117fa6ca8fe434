"""Spaces: walking the tree of rooms below one, as one user may see it.

The tree is walked depth first, children in the order that their parents give. A page that is not the last one leaves
its walk in memory; the token names it. Walks are few and short: the oldest is forgotten, and its client starts anew.
Spec: https://spec.matrix.org/v1.19/client-server-api/#spaces
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.events.event import Event
from homeserver.ids import RoomID, ServerName, UserID, is_room_id, is_server_name
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.stripped import strip
from homeserver.rooms.summaries import Summaries, is_summary, summary_of
from homeserver.runtime.random import Randomness

MAX_ROOMS = 50
"""Rooms on a page, whatever the client asks for."""
MAX_WALKED = 2000
"""Rooms that one walk ever looks at."""
WALKS_KEPT = 500
_ORDER = re.compile(r"[\x20-\x7e]{1,50}", re.ASCII)


class _Step(NamedTuple):
    """A room that is to be visited; `known` is what its parent's server said of it, if it did."""

    room_id: RoomID
    via: tuple[ServerName, ...]
    depth: int
    known: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Walk:
    user_id: UserID
    root: RoomID
    suggested_only: bool
    max_depth: int | None
    steps: list[_Step]
    """Where to go on: the last one first."""
    seen: set[RoomID] = field(default_factory=set)


@dataclass(slots=True)
class SpacePage:
    """Rooms in the order of the walk, and the token that goes on behind them."""

    rooms: list[dict[str, Any]]
    next_batch: str | None


class Spaces:
    """Walks trees of rooms."""

    def __init__(self, summaries: Summaries, randomness: Randomness) -> None:
        self._summaries = summaries
        self._randomness = randomness
        self._walks: OrderedDict[str, _Walk] = OrderedDict()

    async def page(
        self,
        user_id: UserID,
        room_id: RoomID,
        *,
        suggested_only: bool = False,
        limit: int | None = None,
        max_depth: int | None = None,
        token: str | None = None,
    ) -> SpacePage:
        """The next rooms of the tree below `room_id`.

        Raises:
            Forbidden: the user may not see the room, or there is none.
            InvalidParam: the token is not one of this walk.
        """
        if token is None:
            walk = _Walk(user_id, room_id, suggested_only, max_depth, [_Step(room_id, (), 0)])
        else:
            walk = self._resume(token, _Walk(user_id, room_id, suggested_only, max_depth, []))
        wanted = min(limit or MAX_ROOMS, MAX_ROOMS)
        rooms: list[dict[str, Any]] = []
        while walk.steps and len(rooms) < wanted:
            step = walk.steps.pop()
            if step.room_id in walk.seen or len(walk.seen) >= MAX_WALKED:
                continue
            walk.seen.add(step.room_id)
            room = await self._visit(walk, step)
            if room is not None:
                rooms.append(room)
            elif step.depth == 0:
                raise Forbidden("you may not see this room")
        return SpacePage(rooms, self._keep(walk) if walk.steps else None)

    def _resume(self, token: str, asked: _Walk) -> _Walk:
        walk = self._walks.get(token)
        if walk is None or walk.user_id != asked.user_id or walk.root != asked.root:
            raise InvalidParam("from: this is not a token of this walk (any more)")
        if walk.suggested_only != asked.suggested_only or walk.max_depth != asked.max_depth:
            raise InvalidParam("suggested_only and max_depth cannot change on paginated requests")
        # A page that is asked for again goes on from the same place.
        return _Walk(
            walk.user_id, walk.root, walk.suggested_only, walk.max_depth, list(walk.steps), set(walk.seen)
        )

    def _keep(self, walk: _Walk) -> str:
        token = self._randomness.token(12)
        self._walks[token] = walk
        while len(self._walks) > WALKS_KEPT:
            self._walks.popitem(last=False)
        return token

    async def _visit(self, walk: _Walk, step: _Step) -> dict[str, Any] | None:
        """The room as the user sees it, if they may; its children are next."""
        room = await self._summaries.find_live(step.room_id)
        if room is not None:
            if not await self._summaries.may_see(room, walk.user_id):
                return None
            children = list_children(room, suggested_only=walk.suggested_only)
            self._descend(walk, step, [_shown_child(child) for child in children], {})
            return {**summary_of(room), "children_state": [_shown_child(child) for child in children]}
        return await self._visit_remote(walk, step)

    async def _visit_remote(self, walk: _Walk, step: _Step) -> dict[str, Any] | None:
        known = step.known
        if known is not None and known.get("room_type") != "m.space":
            # Its parent's server has said all that there is to say.
            summary, state, others = dict(known), [], {}
        else:
            found = await self._summaries.ask(step.room_id, step.via, suggested_only=walk.suggested_only)
            if found is None:
                return None
            summary = found.room
            state = found.room.get("children_state", [])
            others = {child["room_id"]: child for child in found.children if is_summary(child)}
        if not await self._summaries.may_see_remote(summary, walk.user_id):
            return None
        children = [child for child in state if _is_child(child, suggested_only=walk.suggested_only)]
        self._descend(walk, step, children, others)
        return {**summary, "children_state": children}

    @staticmethod
    def _descend(
        walk: _Walk, step: _Step, children: list[dict[str, Any]], known: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if walk.max_depth is not None and step.depth >= walk.max_depth:
            return
        for child in reversed(children):
            room_id = RoomID(child["state_key"])
            walk.steps.append(_Step(room_id, _servers(child["content"]), step.depth + 1, known.get(room_id)))

    async def server_view(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> dict[str, Any]:
        """What another server learns of a room and its children: one level, and no pages.

        Raises:
            NotFound: the room is not for that server to see.
        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
        """
        room = await self._summaries.find_live(room_id)
        if room is None or not await self._summaries.server_may_see(room, server):
            raise NotFound(f"no room {room_id}")
        shown: list[dict[str, Any]] = []
        inaccessible: list[str] = []
        children = list_children(room, suggested_only=suggested_only)
        for event in children:
            child = await self._summaries.find_live(RoomID(event.state_key or ""))
            if child is None:
                continue
            if await self._summaries.server_may_see(child, server):
                shown.append(summary_of(child))
            else:
                inaccessible.append(child.room_id)
        return {
            "room": {**summary_of(room), "children_state": [_shown_child(event) for event in children]},
            "children": shown,
            "inaccessible_children": inaccessible,
        }


def list_children(room: LiveRoom, *, suggested_only: bool) -> list[Event]:
    """The valid `m.space.child` events of a space, in the order of its children."""
    if room.room_type != "m.space":
        return []
    found = [
        event
        for (event_type, _), event in room.state.items()
        if event_type == "m.space.child" and _is_child(_shown_child(event), suggested_only=suggested_only)
    ]
    return sorted(found, key=_order)


def _is_child(child: Any, *, suggested_only: bool) -> bool:
    if not isinstance(child, dict) or not isinstance(child.get("content"), dict):
        return False
    if child.get("type") != "m.space.child" or not is_room_id(child.get("state_key")):
        return False
    if not _servers(child["content"]):
        return False
    return not suggested_only or child["content"].get("suggested") is True


def _servers(content: Mapping[str, Any]) -> tuple[ServerName, ...]:
    via = content.get("via")
    return tuple(
        ServerName(server)
        for server in (via if isinstance(via, list) else [])
        if isinstance(server, str) and is_server_name(server)
    )


def _order(event: Event) -> tuple[bool, str, int, str]:
    order = event.content.get("order")
    if isinstance(order, str) and _ORDER.fullmatch(order):
        return False, order, event.origin_server_ts, event.state_key or ""
    return True, "", event.origin_server_ts, event.state_key or ""


def _shown_child(event: Event) -> dict[str, Any]:
    return {**strip(event), "origin_server_ts": event.origin_server_ts}
