"""One room in a sliding-sync answer: what its client has not been sent, or all of it the first time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.client_format import client_event
from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.ids import RoomID, StateKey, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History, Page
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.sliding.connections import LAZY_KEPT, Progress, Sent
from homeserver.sync.sliding.lists import Chosen
from homeserver.sync.sliding.request import RoomConfig, SlidingRequest

BUMPING = frozenset(
    {
        "m.room.create",
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
        "m.beacon_info",
    }
)


@dataclass(slots=True)
class RoomAnswer:
    """A room's part of the answer (None: nothing to say), and what its client has been sent then."""

    body: dict[str, Any] | None
    sent: Sent


class SlidingRooms:
    """Builds the rooms of an answer."""

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
            return await self._not_joined(feed, request, view, sent, room_id, config, ignored, is_dm=is_dm)
        room = await self._rooms.find_or_load(room_id)
        if room is None:
            return None
        if sent is not None and (
            sent.membership != "join" or (view is not None and view.joined_at > sent.position)
        ):
            sent = None
        answer = await self._joined(feed, request, progress, room, sent, config, until, ignored, is_dm=is_dm)
        if answer.body is not None and request.is_stable:
            answer.body["membership"] = "join"
            answer.body["lists"] = chosen.lists_of.get(room_id, [])
        return answer

    async def _joined(
        self,
        feed: Feed,
        request: SlidingRequest,
        progress: Progress,
        room: LiveRoom,
        sent: Sent | None,
        config: RoomConfig,
        until: StreamToken,
        ignored: frozenset[UserID],
        *,
        is_dm: bool,
    ) -> RoomAnswer:
        user = feed.user_id
        expanded = sent is not None and config.timeline_limit > sent.config.timeline_limit
        is_current = sent is not None and sent.position >= room.position and sent.root == room.root
        is_same = sent is not None and sent.is_dm == is_dm and sent.config.selector.covers(config.selector)
        if sent is not None and is_current and is_same and not expanded:
            return RoomAnswer(None, sent)
        page = await self._history.newest(
            room,
            user,
            until=until.position,
            after=None if sent is None or expanded else sent.position,
            limit=config.timeline_limit,
            ignored=ignored,
            trusted=sent is not None and not expanded,
        )
        changed = await self._changed_state(room, sent)
        state, members = self._required(room, sent, config, page, changed, user)
        body: dict[str, Any] = {}
        if sent is None:
            body["initial"] = True
        self._describe(body, request, room, sent, changed, user)
        if is_dm and (sent is None or not sent.is_dm):
            body["is_dm"] = True
        elif sent is not None and sent.is_dm and not is_dm:
            body["is_dm"] = False
        if state:
            body["required_state"] = state
        if page.events:
            shown = await self._bundles.json(room, page.events, user, request.device_id)
            body["timeline"] = [_without_room_id(event) for event in shown]
            body["prev_batch"] = str(StreamToken(page.events[0].position - 1))
        if expanded:
            body["expanded_timeline" if request.is_stable else "unstable_expanded_timeline"] = True
        body["limited"] = page.more
        start = 0 if progress.token is None else progress.token.position
        body["num_live"] = sum(
            1 for event in page.events if progress.token is not None and event.position > start
        )
        body["bump_stamp"] = await self._bump_stamp(room, feed)
        if not request.is_stable:
            view = feed.rooms.get(room.room_id)
            counts = await self._history.unread_counts(room, user, 0 if view is None else view.joined_at)
            body["notification_count"] = counts.all_notify
            body["highlight_count"] = counts.all_highlight
        now = Sent(
            max(until.position, room.position),
            room.root,
            config if sent is None else config.union(sent.config),
            members,
            "join",
            is_dm,
        )
        return RoomAnswer(body, now)

    async def _changed_state(self, room: LiveRoom, sent: Sent | None) -> Mapping[StateKey, Event | None]:
        """What current state has that was not so when the room was last sent."""
        if sent is None or sent.root is None:
            return {}
        return await self._state_at.between(room, sent.root, room.root)

    def _required(
        self,
        room: LiveRoom,
        sent: Sent | None,
        config: RoomConfig,
        page: Page,
        changed: Mapping[StateKey, Event | None],
        user: UserID,
    ) -> tuple[list[dict[str, Any]], frozenset[str]]:
        """The state that the client asked for and lacks, and the lazy members that it then has."""
        selector = config.selector
        known = frozenset[str]() if sent is None else sent.members
        if sent is None:
            wanted = {key: event for key, event in room.state.items() if selector.matches(key)}
            gone: list[StateKey] = []
        else:
            wanted = {
                key: event for key, event in changed.items() if event is not None and selector.matches(key)
            }
            gone = [key for key, event in changed.items() if event is None and selector.matches(key)]
            if not sent.config.selector.covers(selector):
                old = sent.config.selector
                wanted.update(
                    (key, event)
                    for key, event in room.state.items()
                    if selector.matches(key) and not old.matches(key)
                )
        if selector.lazy_members:
            needed = {event.event.sender for event in page.events}
            needed |= {
                UserID(event.event.state_key)
                for event in page.events
                if event.event.type == "m.room.member" and event.event.state_key is not None
            }
            if page.more:
                # A client that is told of a gap forgets the members that it knew.
                known = frozenset()
            elif sent is not None:
                needed |= {UserID(key[1]) for key in changed if key[0] == "m.room.member"}
            for member in needed:
                key = ("m.room.member", str(member))
                event = room.state.get(key)
                if event is not None and (member not in known or key in changed):
                    wanted[key] = event
            known = known | needed if len(known) < LAZY_KEPT else frozenset(needed)
        state = [_state_event(event) for event in wanted.values()]
        state += [{"type": kind, "state_key": key} for kind, key in gone]
        return state, known

    @staticmethod
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

    async def _bump_stamp(self, room: LiveRoom, feed: Feed) -> int:
        for event in reversed(room.timeline):
            if event.event.type in BUMPING and event.event.state_key in (None, ""):
                return event.position
        view = feed.rooms.get(room.room_id)
        return room.timeline.start or (0 if view is None else view.joined_at)

    async def _not_joined(
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
            if view.sender in ignored:
                return None
            body: dict[str, Any] = {"initial": True, "bump_stamp": view.since}
            body["stripped_state" if request.is_stable else "invite_state"] = await self._stripped.of(
                room_id, feed.user_id
            )
        else:
            body = await self._left(feed, request, view, sent, room_id, config, ignored)
        if is_dm:
            body["is_dm"] = True
        if request.is_stable:
            body["membership"] = view.membership
        return RoomAnswer(body, now)

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
        body: dict[str, Any] = {"bump_stamp": view.since}
        room = await self._rooms.find_or_load(room_id)
        if sent is None or sent.membership != "join":
            body["initial"] = True
        if room is None:
            own = await self._stripped.member_event(room_id, feed.user_id)
            if own is not None:
                body["required_state"] = [_state_event(own)]
            return body
        page = await self._history.newest(
            room,
            feed.user_id,
            until=view.since,
            after=None if sent is None or sent.membership != "join" else sent.position,
            limit=max(1, config.timeline_limit),
            ignored=ignored,
        )
        shown = await self._bundles.json(room, page.events, feed.user_id, request.device_id)
        own = room.state.get(("m.room.member", feed.user_id))
        body["required_state"] = [] if own is None else [_state_event(own)]
        body["timeline"] = [_without_room_id(event) for event in shown]
        body["limited"] = page.more
        if page.events:
            body["prev_batch"] = str(StreamToken(page.events[0].position - 1))
        return body


def _hero(room: LiveRoom, user: UserID) -> dict[str, Any]:
    content = room.content("m.room.member", user)
    hero: dict[str, Any] = {"user_id": user}
    for key in ("displayname", "avatar_url"):
        if isinstance(content.get(key), str):
            hero[key] = content[key]
    return hero


def _state_event(event: Event) -> dict[str, Any]:
    body = client_event(event)
    del body["room_id"]
    return body


def _without_room_id(event: bytes) -> msgspec.Raw:
    """Events in an answer stand under their room and do not name it."""
    body = msgspec.json.decode(event)
    body.pop("room_id", None)
    return msgspec.Raw(msgspec.json.encode(body))
