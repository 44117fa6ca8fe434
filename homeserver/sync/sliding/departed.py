"""Rooms that the user is not joined to: invitations and knocks by their stripped state, and departures, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.event import Event
from homeserver.ids import RoomID, StateKey, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.sliding.connections import Sent
from homeserver.sync.sliding.request import RoomConfig, SlidingRequest
from homeserver.sync.sliding.state import MEMBER, state_event


@dataclass(slots=True)
class RoomAnswer:
    """A room's part of the answer (None: nothing to say), and what its client has been sent then."""

    body: dict[str, Any] | None
    sent: Sent


class DepartedRooms:
    """Builds what is said of such rooms."""

    def __init__(
        self, rooms: Rooms, history: History, state_at: StateAt, stripped: StrippedStates, bundles: Bundles
    ) -> None:
        self._rooms = rooms
        self._history = history
        self._state_at = state_at
        self._stripped = stripped
        self._bundles = bundles

    async def answer(
        self,
        feed: Feed,
        request: SlidingRequest,
        view: RoomView,
        sent: Sent | None,
        room_id: RoomID,
        config: RoomConfig,
        ignored: frozenset[UserID],
        *,
        is_dm: bool,
    ) -> RoomAnswer | None:
        """An invitation or knock by its stripped state; a room that was left, once."""
        now = Sent(view.since, None, config, frozenset(), view.membership, is_dm)
        if sent is not None and sent.membership == view.membership and sent.position >= view.since:
            return RoomAnswer(None, sent)
        if view.membership in ("invite", "knock"):
            if view.membership == "invite" and view.sender in ignored:
                return None
            body: dict[str, Any] = {"initial": True, "bump_stamp": view.since}
            body["stripped_state" if request.is_stable else "invite_state"] = await self._stripped.of(
                room_id, feed.user_id
            )
        elif view.previous in ("invite", "knock") or (
            sent is not None and sent.membership in ("invite", "knock")
        ):
            body = await self._declined(feed, request, view, room_id)
        else:
            body = await self._left(feed, request, view, sent, room_id, config, ignored)
        if is_dm:
            body["is_dm"] = True
        return RoomAnswer(body, now)

    async def _declined(
        self, feed: Feed, request: SlidingRequest, view: RoomView, room_id: RoomID
    ) -> dict[str, Any]:
        """An invitation or knock that came to nothing: the room was never theirs to see."""
        body: dict[str, Any] = {"initial": True, "bump_stamp": view.since}
        own = await self._stripped.member_event(room_id, feed.user_id)
        if request.is_stable:
            body["stripped_state"] = await self._stripped.of(room_id, feed.user_id)
        elif own is not None:
            body["required_state"] = [state_event(own)]
            body["timeline"] = [state_event(own)]
        return body

    async def _left(
        self,
        feed: Feed,
        request: SlidingRequest,
        view: RoomView,
        sent: Sent | None,
        room_id: RoomID,
        config: RoomConfig,
        ignored: frozenset[UserID],
    ) -> dict[str, Any]:
        """The room up to the moment when the user left it."""
        body: dict[str, Any] = {"bump_stamp": view.since}
        if sent is not None and sent.membership != "join":
            sent = None
        if sent is None:
            body["initial"] = True
        room = await self._rooms.find_or_load(room_id)
        if room is None:
            own = await self._stripped.member_event(room_id, feed.user_id)
            if own is not None:
                body["required_state"] = [state_event(own)]
            return body
        page = await self._history.newest(
            room,
            feed.user_id,
            until=view.since,
            after=None if sent is None else sent.position,
            limit=max(1, config.timeline_limit),
            ignored=ignored,
        )
        shown = await self._bundles.json(room, page.events, feed.user_id, request.device_id)
        body["required_state"] = [
            state_event(event) for event in await self._state(room, view, sent, config, feed.user_id)
        ]
        body["timeline"] = [without_room_id(event) for event in shown]
        body["limited"] = page.more
        if page.events:
            body["prev_batch"] = str(StreamToken(page.events[0].position - 1))
        return body

    async def _state(
        self, room: LiveRoom, view: RoomView, sent: Sent | None, config: RoomConfig, user_id: UserID
    ) -> list[Event]:
        """The state as of the departure, as far as it was asked for and not sent; how they left is always told."""
        root = await self._history.root_after(room, view.since)
        own: StateKey = (MEMBER, user_id)
        if sent is not None and sent.root is not None and root is not None:
            changes = await self._state_at.between(room, sent.root, root)
            found = {key: event for key, event in changes.items() if event is not None}
        elif root is not None and view.previous == "join":
            found = dict(await self._state_at.at(room, root))
        else:
            found = {}
        departure = await self._stripped.member_event(room.room_id, user_id)
        if departure is not None:
            found[own] = departure
        return [event for key, event in found.items() if key == own or config.selector.matches(key)]


def without_room_id(event: bytes) -> msgspec.Raw:
    """Events in an answer stand under their room and do not name it."""
    body = msgspec.json.decode(event)
    body.pop("room_id", None)
    return msgspec.Raw(msgspec.json.encode(body))
