"""Ways through a room's past: from memory where it reaches, else from the database, always through the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from homeserver.events.state_tree import NodeHash
from homeserver.ids import UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.unread import NotifyRecord, UnreadCounts
from homeserver.rooms.visibility import Visibility
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction

Accept = Callable[[TimelineEvent], bool]
MAX_ROUNDS = 10
"""How many pages one request reads in search of events that its filter accepts."""

MAX_PAGES_BACK = 20
"""How many pages of history one look for a moment of the past fetches."""


@dataclass(slots=True)
class Page:
    """Some events in order, whether there are more behind them, and the position where the search ended."""

    events: list[TimelineEvent] = field(default_factory=list)
    more: bool = False
    end: int = 0


class Earlier(Protocol):
    """Asks other servers for what was in a room before this one."""

    async def fetch(self, room: LiveRoom) -> bool: ...
    async def nearest(self, room: LiveRoom, ts: int, *, forwards: bool) -> int | None: ...


class NothingEarlier:
    """A server that asks no other."""

    async def fetch(self, _room: LiveRoom) -> bool:
        return False

    async def nearest(self, _room: LiveRoom, _ts: int, *, forwards: bool) -> int | None:  # the protocol's
        return None


class History:
    """Reads timelines for users."""

    def __init__(self, db: Database, visibility: Visibility, earlier: Earlier | None = None) -> None:
        self._db = db
        self._visibility = visibility
        self._earlier: Earlier = earlier or NothingEarlier()

    async def newest(
        self,
        room: LiveRoom,
        user_id: UserID,
        *,
        until: int,
        after: int | None,
        limit: int,
        accept: Accept | None = None,
        ignored: frozenset[UserID] = frozenset(),
        trusted: bool = False,
    ) -> Page:
        """Up to `limit` events in (after, until], oldest first; `trusted` if the user is known to see them all."""
        page = await self.backwards(
            room,
            user_id,
            start=until,
            after=after,
            limit=limit,
            accept=accept,
            ignored=ignored,
            trusted=trusted,
            fetching=False,
        )
        page.events.reverse()
        return page

    async def backwards(
        self,
        room: LiveRoom,
        user_id: UserID,
        *,
        start: int,
        after: int | None,
        limit: int,
        accept: Accept | None = None,
        ignored: frozenset[UserID] = frozenset(),
        trusted: bool = False,
        fetching: bool = True,
    ) -> Page:
        """Up to `limit` events at or before `start` and after `after`, newest first.

        At the end of what is known other servers are asked, if `fetching`.
        """
        page = Page(end=start)
        position = start
        for _ in range(MAX_ROUNDS):
            asked = max(limit - len(page.events), 0) + 1
            found = self._in_memory(room, position, after, asked)
            if found is None:
                found = await self._db.read(_before, room, position, after, asked)
            for event in await self._accepted(room, user_id, found, accept, ignored, trusted=trusted):
                if len(page.events) == limit:
                    page.more = True
                    return page
                page.events.append(event)
                page.end = event.position - 1
            if len(found) < asked and after is None and room.has_gap:
                position = page.end = found[-1].position - 1 if found else position
                if fetching and await self._earlier.fetch(room):
                    continue
                page.more = not fetching
                return page
            if len(found) < asked:
                page.end = after if after is not None else (found[-1].position - 1 if found else position)
                return page
            position = found[-1].position - 1
            page.end = position
        page.more = True
        return page

    async def forwards(
        self,
        room: LiveRoom,
        user_id: UserID,
        *,
        start: int,
        until: int,
        limit: int,
        accept: Accept | None = None,
        ignored: frozenset[UserID] = frozenset(),
    ) -> Page:
        """Up to `limit` events in (start, until], oldest first."""
        page = Page(end=start)
        position = start
        for _ in range(MAX_ROUNDS):
            asked = max(limit - len(page.events), 0) + 1
            found = await self._db.read(_after, room, position, until, asked)
            for event in await self._accepted(room, user_id, found, accept, ignored, trusted=False):
                if len(page.events) == limit:
                    page.more = True
                    return page
                page.events.append(event)
                page.end = event.position
            if len(found) < asked:
                page.end = until
                return page
            page.end = position = found[-1].position
        page.more = True
        return page

    async def fetch_earlier(self, room: LiveRoom) -> bool:
        """Ask other servers for what was before everything that is known here; whether any came."""
        return room.has_gap and await self._earlier.fetch(room)

    async def nearest(
        self, room: LiveRoom, user_id: UserID, ts: int, *, forwards: bool
    ) -> TimelineEvent | None:
        """The event closest to `ts` (ms) in one direction, if the user may see it.

        If it may lie before what is known here, other servers are asked, and history is fetched back to it.
        """
        entry = await self._db.read(_nearest, room, ts, forwards=forwards)
        if room.has_gap and await self._fetch_back_to(room, ts, entry, forwards=forwards):
            entry = await self._db.read(_nearest, room, ts, forwards=forwards)
        if entry is None or not await self._visibility.visible(room, user_id, [entry]):
            return None
        return entry

    async def _fetch_back_to(
        self, room: LiveRoom, ts: int, known: TimelineEvent | None, *, forwards: bool
    ) -> bool:
        """Whether there is more history here than before, since others know an event that is closer to `ts`."""
        oldest = await self._db.read(_oldest_ts, room)
        if oldest is None or oldest < ts:
            return False
        told = await self._earlier.nearest(room, ts, forwards=forwards)
        known_ts = None if known is None else known.event.origin_server_ts
        if told is None or (known_ts is not None and abs(told - ts) >= abs(known_ts - ts)):
            return False
        has_more = False
        for _ in range(MAX_PAGES_BACK):
            if (oldest is not None and oldest < told) or not await self._earlier.fetch(room):
                break
            has_more = True
            oldest = await self._db.read(_oldest_ts, room)
        return has_more

    async def root_after(self, room: LiveRoom, position: int) -> NodeHash | None:
        """The state tree's root after everything at or before `position`."""
        if position >= room.position:
            return room.root
        events = room.timeline.between(position, room.position)
        if events is None:
            events = await self._db.read(_after, room, position, room.position, 1)
        return events[0].state_before if events else room.root

    async def unread_counts(self, room: LiveRoom, user_id: UserID, joined_at: int) -> UnreadCounts:
        """The user's counts, begun from their receipts if they are not being kept yet."""
        counts = room.unread.find(user_id)
        if counts is not None:
            return counts
        read = room.read_up_to(user_id, joined_at)
        if room.unread.reaches(read.everywhere):
            return room.unread.start_counting(user_id, read)
        older = await self._db.read(_records_after, room, read.everywhere)
        return room.unread.start_counting(user_id, room.read_up_to(user_id, joined_at), older)

    async def _accepted(
        self,
        room: LiveRoom,
        user_id: UserID,
        events: list[TimelineEvent],
        accept: Accept | None,
        ignored: frozenset[UserID],
        *,
        trusted: bool,
    ) -> list[TimelineEvent]:
        if accept is not None:
            events = [event for event in events if accept(event)]
        if ignored:
            events = [e for e in events if e.event.sender not in ignored or e.event.state_key is not None]
        if trusted:
            return list(await self._visibility.concealed.without(user_id, room.room_id, events))
        return await self._visibility.visible(room, user_id, events)

    @staticmethod
    def _in_memory(
        room: LiveRoom, position: int, after: int | None, count: int
    ) -> list[TimelineEvent] | None:
        found: list[TimelineEvent] = []
        for event in reversed(room.timeline):
            if event.position > position:
                continue
            if after is not None and event.position <= after:
                return found
            found.append(event)
            if len(found) == count:
                return found
        start = room.timeline.start
        if start == 0 and not room.has_older:
            return found
        return found if after is not None and start <= after else None


def _before(
    txn: Transaction, room: LiveRoom, position: int, after: int | None, count: int
) -> list[TimelineEvent]:
    rows = event_rows.before(
        txn, room_rows.number_of(txn, room.room_id), position, count, after=after, with_children=True
    )
    return timeline_events(txn, rows, room.version)


def _after(txn: Transaction, room: LiveRoom, position: int, until: int, count: int) -> list[TimelineEvent]:
    rows = event_rows.after(
        txn, room_rows.number_of(txn, room.room_id), position, count, until=until, with_children=True
    )
    return timeline_events(txn, rows, room.version)


def _nearest(txn: Transaction, room: LiveRoom, ts: int, *, forwards: bool) -> TimelineEvent | None:
    row = event_rows.nearest_to(txn, room_rows.number_of(txn, room.room_id), ts, forwards=forwards)
    return None if row is None else timeline_events(txn, [row], room.version)[0]


def _oldest_ts(txn: Transaction, room: LiveRoom) -> int | None:
    return event_rows.oldest_ts(txn, room_rows.number_of(txn, room.room_id))


def _records_after(txn: Transaction, room: LiveRoom, position: int) -> list[NotifyRecord]:
    rows = event_rows.notifying_after(txn, room_rows.number_of(txn, room.room_id), position)
    return [
        NotifyRecord(entry.position, entry.event.sender, entry.notified)
        for entry in timeline_events(txn, rows, room.version)
        if entry.notified is not None
    ]
