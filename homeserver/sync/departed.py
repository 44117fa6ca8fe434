"""Rooms that the user is not joined to: invitations, knocks, and rooms that they have left.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from homeserver.events.client_format import client_event_json, federation_event_json
from homeserver.ids import RoomID, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.request import SyncRequest
from homeserver.sync.windows import Window, settle

_quote = msgspec.json.encode


class DepartedSections:
    """Builds `invite`, `knock` and `leave`."""

    def __init__(
        self, rooms: Rooms, history: History, state_at: StateAt, stripped: StrippedStates, bundles: Bundles
    ) -> None:
        self._rooms = rooms
        self._history = history
        self._state_at = state_at
        self._stripped = stripped
        self._bundles = bundles

    async def sections(
        self,
        feed: Feed,
        request: SyncRequest,
        moved: Iterable[tuple[RoomID, RoomView]],
        until: StreamToken,
        ignored: frozenset[UserID],
        account_data: Mapping[RoomID, Sequence[bytes]],
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
                stripped = b'%b:{"%b_state":{"events":%b}}' % (
                    _quote(room_id),
                    view.membership.encode(),
                    msgspec.json.encode(state),
                )
                (invites if view.membership == "invite" else knocks).append(stripped)
                continue
            is_news = since is not None and view.since > since.position
            own = account_data.get(room_id, ())
            if is_news or (since is None and request.filter.room.include_leave):
                section = await self._left(request, room_id, view, since, ignored)
            elif since is not None and own and not request.full_state:
                # They have left before, and know how: what they keep for the room has changed.
                section = Section(view.since)
            else:
                continue
            section.account_data = own
            leaves.append(section.json(room_id, request.state_key))
        found = ((b"invite", invites), (b"knock", knocks), (b"leave", leaves))
        return [b'"%b":{%b}' % (name, b",".join(sections)) for name, sections in found if sections]

    async def _left(
        self,
        request: SyncRequest,
        room_id: RoomID,
        view: RoomView,
        since: StreamToken | None,
        ignored: frozenset[UserID],
    ) -> Section:
        room = await self._rooms.find_or_load(room_id)
        if room is None:
            event = await self._stripped.member_event(room_id, request.user_id)
            own = [] if event is None else [client_event_json(event, None)]
            return Section(view.since, own, own if request.wants_state_after else [])
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
        start = page.events[0].position - 1 if page.events else view.since
        window = Window(page.events, page.more, start)
        root = await self._history.root_after(room, view.since)
        if root is not None and not request.wants_state_after:
            await settle(self._state_at, room, window, root)
        shown = await self._shown(request, room, window)
        if view.previous in ("join", None):
            state = await self._state(request, room, view, since, window)
        else:
            # The room was never theirs to see, but how they left is.
            state = []
            member = await self._stripped.member_event(room_id, request.user_id)
            if member is not None:
                departure = client_event_json(member, None)
                if all(event.event.event_id != member.event_id for event in window.events):
                    shown.append(departure)
                state = [departure] if request.wants_state_after else []
        return Section(window.start, shown, state, limited=window.limited)

    async def _shown(self, request: SyncRequest, room: LiveRoom, window: Window) -> list[bytes]:
        if request.filter.is_federation_format:
            return [federation_event_json(event.event) for event in window.events]
        if window.limited:
            return await self._bundles.json(room, window.events, request.user_id, request.device_id)
        return [event.json_for(request.user_id, request.device_id) for event in window.events]

    async def _state(
        self,
        request: SyncRequest,
        room: LiveRoom,
        view: RoomView,
        since: StreamToken | None,
        window: Window,
    ) -> list[bytes]:
        if request.wants_state_after:
            root = await self._history.root_after(room, view.since)
        else:
            root = window.first_root
        if root is None:
            return []
        if since is None or request.full_state or view.previous is None:
            state = dict(await self._state_at.at(room, root))
        else:
            old = await self._history.root_after(room, since.position)
            changes = {} if old is None else await self._state_at.between(room, old, root)
            state = {key: event for key, event in changes.items() if event is not None}
        state |= window.hidden
        wanted = request.filter.room.state
        events = [event for event in state.values() if wanted.matches(event)]
        if request.filter.is_federation_format:
            return [federation_event_json(event) for event in events]
        return [client_event_json(event, None) for event in events]


@dataclass(slots=True)
class Section:
    """A room that was left, as ready JSON of its parts; `start` is the place before its timeline."""

    start: int
    timeline: Sequence[bytes] = ()
    state: Sequence[bytes] = ()
    limited: bool = False
    account_data: Sequence[bytes] = ()

    def json(self, room_id: RoomID, state_key: str) -> bytes:
        parts = [
            b'"timeline":{"events":[%b],"limited":%b,"prev_batch":"s%d_0"}'
            % (b",".join(self.timeline), b"true" if self.limited else b"false", self.start),
            b'"%b":{"events":[%b]}' % (state_key.encode(), b",".join(self.state)),
        ]
        if self.account_data:
            parts.append(b'"account_data":{"events":[%b]}' % b",".join(self.account_data))
        return b"%b:{%b}" % (_quote(room_id), b",".join(parts))
