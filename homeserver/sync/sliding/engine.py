"""Answers sliding-sync requests: compute first, and wait only if there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from homeserver.ids import RoomID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.clients import Watch
from homeserver.sync.composer import Composer
from homeserver.sync.feeds import Feed, Feeds
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.own_data import StoredOwnData
from homeserver.sync.sliding.connections import Connections, Progress, Sent
from homeserver.sync.sliding.lists import Chosen, RoomLists
from homeserver.sync.sliding.request import SlidingRequest
from homeserver.sync.sliding.rooms import SlidingRooms
from homeserver.users.session_events import SessionEvent


@dataclass(slots=True)
class Scope:
    """What extensions answer for: the request, what its client has, and the rooms of this answer."""

    feed: Feed
    request: SlidingRequest
    progress: Progress
    chosen: Chosen
    sent_rooms: dict[RoomID, dict[str, Any]]
    until: StreamToken

    def rooms(self, config: dict[str, Any]) -> list[RoomID]:
        """The rooms that an extension's `lists` and `rooms` name."""
        lists, rooms = config.get("lists"), config.get("rooms")
        if not isinstance(lists, list) and not isinstance(rooms, list):
            return list(self.chosen.configs)
        found: dict[RoomID, None] = {}
        for name, window in self.chosen.windows.items():
            if not isinstance(lists, list) or "*" in lists or name in lists:
                found.update(dict.fromkeys(window))
        if not isinstance(rooms, list) or "*" in rooms:
            found.update(
                dict.fromkeys(room for room in self.request.subscriptions if room in self.chosen.configs)
            )
        else:
            named = self.request.subscriptions.keys() & {room for room in rooms if isinstance(room, str)}
            found.update(dict.fromkeys(named & self.chosen.configs.keys()))
        return list(found)


class Extension(Protocol):
    """A part of the answer beside rooms. `names` are the keys by which clients ask for it."""

    @property
    def names(self) -> tuple[str, ...]: ...

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """The extension's answer, and whether it is worth ending a wait for."""


class SlidingSync:
    """The engine."""

    def __init__(
        self,
        feeds: Feeds,
        composer: Composer,
        polls: LongPolls,
        lists: RoomLists,
        rooms: SlidingRooms,
        own: StoredOwnData,
        extensions: Sequence[Extension],
    ) -> None:
        self._feeds = feeds
        self._composer = composer
        self._polls = polls
        self._lists = lists
        self._rooms = rooms
        self._own = own
        self._extensions = {name: extension for extension in extensions for name in extension.names}
        self._connections = Connections()

    async def sync(
        self,
        request: SlidingRequest,
        on_disconnect: Callable[[Callable[[], None]], None] | None = None,
        watch: Watch | None = None,
    ) -> dict[str, Any]:
        """The next answer.

        Raises:
            UnknownPos: the request's position is not known.
            UnknownToken: the session ended while the request waited.
        """
        feed = self._feeds.find(request.user_id) or await self._feeds.open(request.user_id)
        connection, progress = self._connections.open(request)
        turn = connection.take_turn()

        def wait_with(stop: Callable[[], None]) -> None:
            turn.wait_with(stop)
            if on_disconnect is not None:
                on_disconnect(stop)

        wait = None
        if request.pos is not None and request.timeout_ms > 0:
            wait = self._polls.patience(feed, request.timeout_ms, wait_with, watch)
        while True:
            seen = (feed.position, feed.ephemeral)
            answer, made, has_news = await self._answer(feed, request, progress)
            if has_news or wait is None or turn.is_over:
                break
            if (feed.position, feed.ephemeral) == seen and not await wait():
                break
        return {"pos": self._connections.issue(request, connection, made), **answer}

    def forget(self, event: SessionEvent) -> None:
        """A session has ended, and with it what its connections were sent."""
        if event.has_ended and not event.is_locked:
            self._connections.forget(event.user_id, event.device_id)

    async def _answer(
        self, feed: Feed, request: SlidingRequest, progress: Progress
    ) -> tuple[dict[str, Any], Progress, bool]:
        chosen = await self._lists.choose(feed, request, progress)
        ignored = self._own.ignored(feed.user_id)
        if ignored is None:
            ignored = await self._own.load_ignored(feed.user_id)
        until = self._composer.now()
        rooms, made = await self._answer_rooms(feed, request, progress, chosen, until, ignored)
        next_progress = replace(
            progress,
            token=until,
            rooms=made,
            marks=dict(progress.marks),
            extensions=dict(progress.extensions),
        )
        scope = Scope(feed, request, next_progress, chosen, rooms, until)
        extensions: dict[str, Any] = {}
        has_news = bool(rooms)
        for name, config in request.extensions.items():
            extension = self._extensions.get(name)
            if extension is None or not isinstance(config, dict) or config.get("enabled") is not True:
                continue
            found, is_news = await extension.answer(scope, config)
            extensions[name] = found
            has_news = has_news or is_news
        answer: dict[str, Any] = {
            "lists": {name: {"count": count} for name, count in chosen.counts.items()},
            "rooms": rooms,
            "extensions": extensions,
        }
        return answer, next_progress, has_news

    async def _answer_rooms(
        self,
        feed: Feed,
        request: SlidingRequest,
        progress: Progress,
        chosen: Chosen,
        until: StreamToken,
        ignored: frozenset[UserID],
    ) -> tuple[dict[RoomID, dict[str, Any]], Mapping[RoomID, Sent]]:
        rooms: dict[RoomID, dict[str, Any]] = {}
        changed: dict[RoomID, Sent] = {}
        for room_id, config in chosen.configs.items():
            found = await self._rooms.answer(feed, request, progress, chosen, room_id, config, until, ignored)
            if found is None:
                continue
            if found.sent is not progress.rooms.get(room_id):
                changed[room_id] = found.sent
            if found.body is not None:
                rooms[room_id] = found.body
        # Most answers change nothing, and share what was remembered for the one before.
        return rooms, {**progress.rooms, **changed} if changed else progress.rooms
