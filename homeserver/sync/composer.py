"""One `/sync` answer: the sections that have something to say, joined as bytes.

Rooms that moved are loaded first; then the place to answer for is taken, and whatever memory can answer is answered
without waiting, so that a caught-up client's answer shows one moment of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from homeserver.ids import RoomID, UserID
from homeserver.rooms.concealed import Concealed
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.notifier import Notifier
from homeserver.sync.answer import Answer
from homeserver.sync.departed import DepartedSections
from homeserver.sync.feeds import Feed, RoomView
from homeserver.sync.own_data import StoredOwnData
from homeserver.sync.request import SyncRequest
from homeserver.sync.room_section import Look, RoomSections

_quote = msgspec.json.encode


@dataclass(slots=True)
class Extra:
    """Sections, each as a ready `"key":value`; whether they are worth ending a wait for; what they hold back."""

    parts: Sequence[bytes]
    is_news: bool
    to_device: int | None = None
    """The position of the last to-device message told, if there are more after it."""


class Extras(Protocol):
    """Top-level sections from elsewhere (to-device, device lists, presence)."""

    def ready(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra | None:
        """`sections`, if memory alone can answer; it holds nothing back."""
        ...

    async def sections(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra: ...

    async def standing(self, request: SyncRequest) -> Sequence[bytes]:
        """What is told even to a client that is caught up."""
        ...


class Composer:
    """Builds answers for long-polls and sockets alike."""

    def __init__(
        self,
        rooms: Rooms,
        notifier: Notifier,
        history: History,
        sections: RoomSections,
        departed: DepartedSections,
        own: StoredOwnData,
        concealed: Concealed,
        extras: tuple[Extras, ...] = (),
    ) -> None:
        self._rooms = rooms
        self._notifier = notifier
        self._history = history
        self._sections = sections
        self._departed = departed
        self._own = own
        self._concealed = concealed
        self._extras = extras
        self._now = StreamToken(-1)

    def now(self) -> StreamToken:
        now, notifier = self._now, self._notifier
        if now.position != notifier.position or now.ephemeral != notifier.ephemeral:
            now = self._now = StreamToken(notifier.position, notifier.ephemeral)
        return now

    def has_news(self, feed: Feed, since: StreamToken) -> bool:
        """Whether there may be anything to say; False is certain."""
        return (
            feed.position > since.position or feed.ephemeral > since.ephemeral or since.to_device is not None
        )

    async def nothing(self, request: SyncRequest) -> Answer:
        """The answer to a client that is caught up."""
        # Whatever happens while this waits is for the next answer.
        token = self.now()
        standing = [part for extra in self._extras for part in await extra.standing(request)]
        return Answer(b"{%b}" % b",".join([_next_batch(token), *standing]), token, True)

    async def compose(self, feed: Feed, request: SyncRequest) -> Answer:
        """Everything since `request.since`, as one body."""
        return self._ready(feed, request) or await self._compose(feed, request)

    def _ready(self, feed: Feed, request: SyncRequest) -> Answer | None:
        """`_compose` for a client that follows, if memory alone can answer: this is what every arrival costs."""
        since, user_id = request.since, request.user_id
        if since is None or request.full_state or feed.account_data > since.position:
            return None
        ignored, hidden = self._own.ignored(user_id), self._concealed.find(user_id)
        if ignored is None or hidden is None:
            return None
        until = self.now()
        sections: list[bytes] = []
        for room_id, view in self.moved(feed, request):
            room = self._rooms.find(room_id)
            if room is None or view.membership != "join" or view.joined_at > since.position:
                return None
            counts = room.unread.find(user_id)
            look = Look(request, room, view, until, ignored, hidden.get(room_id))
            shared = None if counts is None else self._sections.ready(look)
            if shared is None:
                return None
            own = self._sections.own_part(look, (), counts)
            sections.append(b"%b:{%b%b}" % (_quote(room_id), shared, own))
        parts = [b'"rooms":{"join":{%b}}' % b",".join(sections)] if sections else []
        is_empty = not sections
        for extra in self._extras:
            found = extra.ready(feed, request, until)
            if found is None:
                return None
            parts += found.parts
            is_empty = is_empty and not found.is_news
        return Answer(b"{%b}" % b",".join([_next_batch(until), *parts]), until, is_empty)

    async def _compose(self, feed: Feed, request: SyncRequest) -> Answer:
        since = request.since
        while True:
            moved = self.moved(feed, request)
            told = [(room_id, view.membership) for room_id, view in moved]
            joined: list[tuple[RoomID, RoomView, LiveRoom]] = []
            for room_id, view in moved:
                if view.membership == "join":
                    room = self._rooms.find(room_id) or await self._rooms.load(room_id)
                    joined.append((room_id, view, room))
            ignored = self._own.ignored(feed.user_id)
            if ignored is None:
                ignored = await self._own.load_ignored(feed.user_id)
            account_data: dict[RoomID, list[bytes]] = {}
            global_data: list[bytes] = []
            if since is None or request.full_state or feed.account_data > since.position:
                global_data, account_data = await self._own.account_data(request)
            if since is not None and not request.full_state:
                # What was kept for a room before its owner came into it has been told to nobody.
                new = [room_id for room_id, view, _ in joined if view.joined_at > since.position]
                if new:
                    account_data |= await self._own.of_new_rooms(request, new)
            until = self.now()
            # Whoever joined a room meanwhile must be told now: the token says that they know.
            if told == [(room_id, view.membership) for room_id, view in self.moved(feed, request)]:
                break
        shown = [await self._joined(request, *each, until, ignored, account_data) for each in joined]
        sections: list[bytes] = [section for section in shown if section]
        departed = await self._departed.sections(feed, request, moved, until, ignored, account_data)
        parts: list[bytes] = []
        if global_data:
            parts.append(b'"account_data":{"events":[%b]}' % b",".join(global_data))
        rooms: list[bytes] = []
        if sections:
            rooms.append(b'"join":{%b}' % b",".join(sections))
        rooms += departed
        if rooms:
            parts.append(b'"rooms":{%b}' % b",".join(rooms))
        is_empty = not parts
        token = until
        for extra in self._extras:
            found = await extra.sections(feed, request, until)
            parts += found.parts
            is_empty = is_empty and not found.is_news
            if found.to_device is not None:
                token = token._replace(to_device=found.to_device)
        return Answer(b"{%b}" % b",".join([_next_batch(token), *parts]), token, is_empty)

    def moved(self, feed: Feed, request: SyncRequest) -> list[tuple[RoomID, RoomView]]:
        """The rooms in which something has happened that concerns the user."""
        since, wanted = request.since, request.filter.room
        if since is None or request.full_state:
            found = [
                (room_id, view)
                for room_id, view in feed.rooms.items()
                if view.membership != "leave" or since is None or view.since > since.position
            ]
        else:
            found = [
                (room_id, view)
                for room_id, view in feed.rooms.items()
                if view.moved > since.position or self._typed(room_id, view, since)
            ]
        if wanted.is_default:
            return found
        return [(room_id, view) for room_id, view in found if wanted.includes_room(room_id)]

    def _typed(self, room_id: RoomID, view: RoomView, since: StreamToken) -> bool:
        if self._notifier.ephemeral <= since.ephemeral or view.membership != "join":
            return False
        room = self._rooms.find(room_id)
        return room is not None and room.typing_position > since.ephemeral

    async def _joined(
        self,
        request: SyncRequest,
        room_id: RoomID,
        view: RoomView,
        room: LiveRoom,
        until: StreamToken,
        ignored: frozenset[UserID],
        account_data: Mapping[RoomID, list[bytes]],
    ) -> bytes | None:
        hidden = self._concealed.find(request.user_id)
        if hidden is None:
            hidden = await self._concealed.load(request.user_id)
        look = Look(request, room, view, until, ignored, hidden.get(room_id))
        counts = room.unread.find(request.user_id)
        if counts is None:
            counts = await self._history.unread_counts(room, request.user_id, view.joined_at)
        shared = self._sections.ready(look)
        if shared is None:
            shared = await self._sections.build(look)
        own = self._sections.own_part(look, account_data.get(room_id, ()), counts)
        return b"%b:{%b%b}" % (_quote(room_id), shared, own)


def _next_batch(token: StreamToken) -> bytes:
    return b'"next_batch":"%b"' % str(token).encode()
