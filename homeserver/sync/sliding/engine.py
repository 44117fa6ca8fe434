"""Answers sliding-sync requests: compute first, and wait only if there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from homeserver.ids import RoomID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.clients import Watch
from homeserver.sync.composer import Composer
from homeserver.sync.feeds import Feed, Feeds
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.own_data import StoredOwnData
from homeserver.sync.sliding.connections import Connection, Connections, Progress
from homeserver.sync.sliding.lists import Chosen, RoomLists
from homeserver.sync.sliding.request import SlidingRequest
from homeserver.sync.sliding.rooms import SlidingRooms


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
            found.update(dict.fromkeys(self.request.subscriptions))
        else:
            found.update((RoomID(room), None) for room in rooms if room in self.chosen.configs)
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
        wait = None
        if request.pos is not None and request.timeout_ms > 0:
            wait = self._polls.patience(feed, request.timeout_ms, on_disconnect, watch)
        while True:
            seen = (feed.position, feed.ephemeral)
            answer, has_news = await self._answer(feed, request, connection, progress)
            if has_news or wait is None or request.pos is None:
                return answer
            if (feed.position, feed.ephemeral) != seen:
                continue
            if not await wait():
                return answer

    async def _answer(
        self, feed: Feed, request: SlidingRequest, connection: Connection, progress: Progress
    ) -> tuple[dict[str, Any], bool]:
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
            receipts=dict(progress.receipts),
            account_data=dict(progress.account_data),
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
            "pos": connection.issue(next_progress),
            "lists": {name: {"count": count} for name, count in chosen.counts.items()},
            "rooms": rooms,
            "extensions": extensions,
        }
        return answer, has_news

    async def _answer_rooms(
        self,
        feed: Feed,
        request: SlidingRequest,
        progress: Progress,
        chosen: Chosen,
        until: StreamToken,
        ignored: frozenset[UserID],
    ) -> tuple[dict[RoomID, dict[str, Any]], dict[RoomID, Any]]:
        rooms: dict[RoomID, dict[str, Any]] = {}
        made = dict(progress.rooms)
        for room_id, config in chosen.configs.items():
            found = await self._rooms.answer(feed, request, progress, chosen, room_id, config, until, ignored)
            if found is None:
                continue
            made[room_id] = found.sent
            if found.body is not None:
                rooms[room_id] = found.body
        return rooms, made
