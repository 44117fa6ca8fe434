"""One room in a sliding-sync answer: what its client has not been sent, or all of it the first time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.events.state_tree import NodeHash
from homeserver.ids import RoomID, StateKey, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History, Page
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.feeds import Feed
from homeserver.sync.sliding.bumps import BumpStamps
from homeserver.sync.sliding.connections import Progress, Sent
from homeserver.sync.sliding.departed import DepartedRooms, RoomAnswer, without_room_id
from homeserver.sync.sliding.lists import Chosen
from homeserver.sync.sliding.request import RoomConfig, SlidingRequest
from homeserver.sync.sliding.state import required_state


@dataclass(slots=True, frozen=True)
class _Place:
    """What the answer is about: a room as it stands at one moment of the log."""

    feed: Feed
    request: SlidingRequest
    progress: Progress
    room: LiveRoom
    position: int
    root: NodeHash
    ignored: frozenset[UserID]

    @property
    def user_id(self) -> UserID:
        return self.feed.user_id


class SlidingRooms:
    """Builds the rooms of an answer."""

    def __init__(
        self,
        rooms: Rooms,
        history: History,
        state_at: StateAt,
        bundles: Bundles,
        bumps: BumpStamps,
        departed: DepartedRooms,
    ) -> None:
        self._rooms = rooms
        self._history = history
        self._state_at = state_at
        self._bundles = bundles
        self._bumps = bumps
        self._departed = departed

    async def answer(
        self,
        feed: Feed,
        request: SlidingRequest,
        progress: Progress,
        chosen: Chosen,
        room_id: RoomID,
        config: RoomConfig,
        until: StreamToken,
        ignored: frozenset[UserID],
    ) -> RoomAnswer | None:
        """What the client is to be told of the room; None if it is none of theirs."""
        view = feed.rooms.get(room_id)
        sent = progress.rooms.get(room_id)
        is_dm = room_id in chosen.directs
        if view is not None and view.membership != "join":
            answer = await self._departed.answer(
                feed, request, view, sent, room_id, config, ignored, is_dm=is_dm
            )
        else:
            room = self._rooms.find(room_id) or await self._rooms.find_or_load(room_id)
            if room is None:
                return None
            if sent is not None and (
                sent.membership != "join" or (view is not None and view.joined_at > sent.position)
            ):
                sent = None
            # What happens while this waits for the database is for the next answer.
            position = max(until.position, room.position)
            place = _Place(feed, request, progress, room, position, room.root, ignored)
            answer = await self._joined(place, sent, config, is_dm=is_dm)
        if answer is not None and answer.body is not None and request.is_stable:
            answer.body["membership"] = "leave" if view is None else view.membership
            answer.body["lists"] = chosen.lists_of.get(room_id, [])
        return answer

    async def _joined(
        self, place: _Place, sent: Sent | None, config: RoomConfig, *, is_dm: bool
    ) -> RoomAnswer:
        room = place.room
        if sent is None:
            return await self._answer(place, None, config, await self._page(place, None, config), is_dm=is_dm)
        has_grown = config.timeline_limit > sent.config.timeline_limit
        wants_more = not sent.config.selector.covers(config.selector)
        is_current = sent.position >= room.position and sent.root == place.root and sent.is_dm == is_dm
        if is_current and not has_grown and not wants_more:
            return RoomAnswer(None, sent)
        page = None
        if has_grown:
            page = await self._page(place, None, config)
            if not page.events or page.events[0].position > sent.start:
                # The client has all of these, but for what is new.
                page = None
        is_expanded = page is not None
        if page is None:
            page = await self._page(place, sent, config)
        answer = await self._answer(place, sent, config, page, is_dm=is_dm, is_expanded=is_expanded)
        body = answer.body
        if is_current and not is_expanded and body is not None and "required_state" not in body:
            return RoomAnswer(None, replace(sent, config=config))
        return answer

    async def _page(self, place: _Place, sent: Sent | None, config: RoomConfig) -> Page:
        return await self._history.newest(
            place.room,
            place.user_id,
            until=place.position,
            after=None if sent is None else sent.position,
            limit=config.timeline_limit,
            ignored=place.ignored,
            # A member sees all that came while they were one.
            trusted=sent is not None and sent.membership == "join" and place.room.room_id in place.feed.rooms,
        )

    async def _answer(
        self,
        place: _Place,
        sent: Sent | None,
        config: RoomConfig,
        page: Page,
        *,
        is_dm: bool,
        is_expanded: bool = False,
    ) -> RoomAnswer:
        room, user, request = place.room, place.user_id, place.request
        has_gap = page.more and not is_expanded
        changed: Mapping[StateKey, Event | None] = {}
        if sent is not None and sent.root is not None:
            changed = await self._state_at.between(room, sent.root, place.root)
        required = required_state(room, sent, config, page.events, changed, has_gap=has_gap)
        body: dict[str, Any] = {}
        if sent is None:
            body["initial"] = True
        _describe(body, request, room, sent, changed, user)
        if is_dm and (sent is None or not sent.is_dm):
            body["is_dm"] = True
        elif sent is not None and sent.is_dm and not is_dm:
            body["is_dm"] = False
        if state := required.shown(with_gone=request.is_stable):
            body["required_state"] = state
        if page.events:
            shown = await self._bundles.json(room, page.events, user, request.device_id)
            body["timeline"] = [without_room_id(event) for event in shown]
            body["prev_batch"] = str(StreamToken(page.events[0].position - 1))
        if is_expanded:
            body["expanded_timeline" if request.is_stable else "unstable_expanded_timeline"] = True
        body["limited"] = page.more
        token = place.progress.token
        body["num_live"] = (
            0 if token is None else sum(1 for event in page.events if event.position > token.position)
        )
        body["bump_stamp"] = await self._bumps.of(room)
        if not request.is_stable:
            view = place.feed.rooms.get(room.room_id)
            counts = await self._history.unread_counts(room, user, 0 if view is None else view.joined_at)
            body["notification_count"] = counts.all_notify
            body["highlight_count"] = counts.all_highlight
        start = 0 if sent is None else sent.start
        if page.more or is_expanded:
            start = page.events[0].position - 1 if page.events else place.position
        now = Sent(place.position, place.root, config, required.members, "join", is_dm, start)
        return RoomAnswer(body, now)


def _describe(
    body: dict[str, Any],
    request: SlidingRequest,
    room: LiveRoom,
    sent: Sent | None,
    changed: Mapping[StateKey, Event | None],
    user: UserID,
) -> None:
    """Name, avatar, heroes and counts: all of them the first time, then what has changed."""
    for field, event_type, content_key in (
        ("name", "m.room.name", "name"),
        ("avatar", "m.room.avatar", "url"),
    ):
        if sent is None or (event_type, "") in changed:
            value = room.content(event_type).get(content_key)
            if isinstance(value, str) and value:
                body[field] = value
            elif sent is not None and request.is_stable:
                body[field] = None
    members_changed = any(key[0] == "m.room.member" for key in changed)
    if sent is None or members_changed:
        body["joined_count"] = len(room.joined)
        body["invited_count"] = len(room.invited)
    named = bool(room.content("m.room.name").get("name"))
    if not named and (sent is None or members_changed or ("m.room.name", "") in changed):
        body["heroes"] = [_hero(room, hero) for hero in heroes(room.state, user)]


def _hero(room: LiveRoom, user: UserID) -> dict[str, Any]:
    content = room.content("m.room.member", user)
    hero: dict[str, Any] = {"user_id": user}
    for key in ("displayname", "avatar_url"):
        if isinstance(content.get(key), str):
            hero[key] = content[key]
    return hero
