"""Rooms that the user is not joined to: invitations, knocks, and rooms that they have left.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from homeserver.events.client_format import client_event_json
from homeserver.ids import RoomID, UserID
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.request import SyncRequest

_quote = msgspec.json.encode


class DepartedSections:
    """Builds `invite`, `knock` and `leave`."""

    def __init__(self, rooms: Rooms, history: History, state_at: StateAt, stripped: StrippedStates) -> None:
        self._rooms = rooms
        self._history = history
        self._state_at = state_at
        self._stripped = stripped

    async def sections(
        self,
        feed: Feed,
        request: SyncRequest,
        moved: Iterable[tuple[RoomID, RoomView]],
        until: StreamToken,
        ignored: frozenset[UserID],
    ) -> list[bytes]:
        invites: list[bytes] = []
        knocks: list[bytes] = []
        leaves: list[bytes] = []
        since = request.since
        for room_id, view in moved:
            if view.membership == "join" or view.since > until.position:
                continue
            if view.membership in ("invite", "knock"):
                if since is not None and view.since <= since.position and not request.full_state:
                    continue
                if view.membership == "invite" and view.sender in ignored:
                    continue
                state = await self._stripped.of(room_id, feed.user_id)
                section = b'%b:{"%b_state":{"events":%b}}' % (
                    _quote(room_id),
                    view.membership.encode(),
                    msgspec.json.encode(state),
                )
                (invites if view.membership == "invite" else knocks).append(section)
            elif since is not None and view.since > since.position:
                leaves.append(await self._left(request, room_id, view, since, ignored))
            elif since is None and request.filter.room.include_leave:
                leaves.append(await self._left(request, room_id, view, None, ignored))
        found = ((b"invite", invites), (b"knock", knocks), (b"leave", leaves))
        return [b'"%b":{%b}' % (name, b",".join(sections)) for name, sections in found if sections]

    async def _left(
        self,
        request: SyncRequest,
        room_id: RoomID,
        view: RoomView,
        since: StreamToken | None,
        ignored: frozenset[UserID],
    ) -> bytes:
        room = await self._rooms.find_or_load(room_id)
        if room is None:
            event = await self._stripped.member_event(room_id, request.user_id)
            own = [] if event is None else [client_event_json(event, None)]
            after = own if request.wants_state_after else []
            return _section(room_id, own, after, limited=False, start=view.since, state_key=request.state_key)
        wanted = request.filter.room.timeline
        page = await self._history.newest(
            room,
            request.user_id,
            until=view.since,
            after=None if since is None else since.position,
            limit=wanted.limit,
            accept=wanted.matches_timeline,
            ignored=ignored,
        )
        events = page.events
        shown = [event.json_for(request.user_id, request.device_id) for event in events]
        if view.previous in ("join", None):
            state = await self._state(request, room, view, since, events)
        else:
            # The room was never theirs to see, but how they left is.
            state = []
            member = await self._stripped.member_event(room_id, request.user_id)
            if member is not None:
                departure = client_event_json(member, None)
                if all(event.event.event_id != member.event_id for event in events):
                    shown.append(departure)
                state = [departure] if request.wants_state_after else []
        start = events[0].position - 1 if events else view.since
        return _section(room_id, shown, state, limited=page.more, start=start, state_key=request.state_key)

    async def _state(
        self,
        request: SyncRequest,
        room: LiveRoom,
        view: RoomView,
        since: StreamToken | None,
        events: Sequence[TimelineEvent],
    ) -> list[bytes]:
        if request.wants_state_after:
            root = await self._history.root_after(room, view.since)
        else:
            root = events[0].state_before if events else None
        if root is None:
            return []
        if since is None or request.full_state or view.previous is None:
            state = dict(await self._state_at.at(room, root))
        else:
            old = await self._history.root_after(room, since.position)
            changes = {} if old is None else await self._state_at.between(room, old, root)
            state = {key: event for key, event in changes.items() if event is not None}
        wanted = request.filter.room.state
        return [client_event_json(event, None) for event in state.values() if wanted.matches(event)]


def _section(
    room_id: RoomID,
    events: list[bytes],
    state: list[bytes],
    *,
    limited: bool,
    start: int,
    state_key: str = "state",
) -> bytes:
    return b'%b:{"timeline":{"events":[%b],"limited":%b,"prev_batch":"s%d_0"},"%b":{"events":[%b]}}' % (
        _quote(room_id),
        b",".join(events),
        b"true" if limited else b"false",
        start,
        state_key.encode(),
        b",".join(state),
    )
