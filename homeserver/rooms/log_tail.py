"""The log as followers read it: its newest entries from memory, with their events, older ones from the database.

A follower asks for what comes after its place, deals with it, saves its place and asks again; when there is nothing, it
waits. However many followers there are, an event is read from the database only by those who are behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from homeserver.events.room_versions import room_version
from homeserver.ids import EventID
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import events as event_rows
from storage import followers, log
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventRow
from storage.transaction import Transaction

KEPT = 2000
READ_AT_ONCE = 200


class LogTail:
    """The last entries of the log, and the way to those before them."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._notifier = notifier
        self._entries: deque[LogEntry] = deque()
        self._start = notifier.position
        """Nothing after this position is missing in memory."""
        notifier.subscribe(self._on_entries)

    @property
    def position(self) -> int:
        return self._notifier.position

    async def begin(self, name: str) -> int:
        """The place of a follower; one that never ran begins at the end of the log, whose past is not its concern."""
        return await self._db.run(_place_or_end, name)

    async def after(self, position: int) -> list[LogEntry]:
        """The next entries after `position`; events come with their `TimelineEvent`. Empty if there are none."""
        newest = self._notifier.position
        if newest <= position:
            return []
        if position >= self._start:
            # From the end, where a follower that keeps up is.
            found: list[LogEntry] = []
            for entry in reversed(self._entries):
                if entry.position <= position:
                    break
                found.append(entry)
            found.reverse()
            return found[:READ_AT_ONCE]
        return await self._db.read(_read, position, READ_AT_ONCE)

    async def wait_past(self, position: int) -> None:
        """Wait until there is something after `position`."""
        await self._notifier.wait_past(position)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        self._entries.extend(entries)
        while len(self._entries) > KEPT:
            self._start = self._entries.popleft().position


def _place_or_end(txn: Transaction, name: str) -> int:
    if followers.is_known(txn, name):
        return followers.load_place(txn, name)
    end = log.last_position(txn)
    followers.save_place(txn, name, end)
    return end


def _read(txn: Transaction, position: int, limit: int) -> list[LogEntry]:
    entries = log.entries_after(txn, position, limit)
    ids = [EventID(entry.ref) for entry in entries if entry.kind is LogKind.EVENT]
    found = _load_events(txn, event_rows.by_id(txn, ids).values())
    return [
        replace(entry, payload=found.get(entry.ref)) if entry.kind is LogKind.EVENT else entry
        for entry in entries
    ]


def _load_events(txn: Transaction, rows: Iterable[EventRow]) -> dict[str, TimelineEvent]:
    by_room: dict[int, list[EventRow]] = {}
    for row in rows:
        by_room.setdefault(row.room, []).append(row)
    found: dict[str, TimelineEvent] = {}
    for room, some in by_room.items():
        stored = room_rows.find(txn, txn.interned(room))
        if stored is not None:
            events = timeline_events(txn, some, room_version(stored[1]))
            found.update((event.event.event_id, event) for event in events)
    return found
