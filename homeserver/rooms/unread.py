"""Unread and highlight counts: moved by events and receipts, never asked of the database while a room is live.

Each notifying event leaves one record with the room, whoever its readers are. A user's counts advance lazily over the
records that came since they were last asked for; a receipt starts them anew from where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from homeserver.ids import EventID, UserID
from homeserver.rooms.timeline import Notified

NOTIFY = 1
HIGHLIGHT = 2
SOUND = 4
"""Bits of an outcome: what the push rules decided for one user and one event."""

RECORDS_KEPT = 1000


@dataclass(slots=True, frozen=True)
class NotifyRecord:
    """One event that notifies somebody."""

    position: int
    sender: UserID
    notified: Notified


@dataclass(slots=True, frozen=True)
class ReadUpTo:
    """How far a user has read: everywhere, and in single threads ("main" is what is outside of them)."""

    everywhere: int
    threads: Mapping[str, int] = field(default_factory=dict)

    def covers(self, position: int, thread: EventID | None) -> bool:
        if position <= self.everywhere:
            return True
        return bool(self.threads) and position <= self.threads.get(thread or "main", 0)


@dataclass(slots=True)
class UnreadCounts:
    """Counts of one user in one room; `threads` has those of events in threads, which the totals leave out."""

    notify: int = 0
    highlight: int = 0
    threads: dict[EventID, tuple[int, int]] = field(default_factory=dict)

    @property
    def all_notify(self) -> int:
        if not self.threads:
            return self.notify
        return self.notify + sum(notify for notify, _ in self.threads.values())

    @property
    def all_highlight(self) -> int:
        if not self.threads:
            return self.highlight
        return self.highlight + sum(highlight for _, highlight in self.threads.values())

    def add(self, user_id: UserID, record: NotifyRecord, read: ReadUpTo) -> None:
        notified = record.notified
        if record.sender == user_id or read.covers(record.position, notified.thread):
            return
        outcome = notified.exceptions.get(user_id, notified.default)
        if not outcome & NOTIFY:
            return
        highlight = 1 if outcome & HIGHLIGHT else 0
        if notified.thread is None:
            self.notify += 1
            self.highlight += highlight
        else:
            before = self.threads.get(notified.thread, (0, 0))
            self.threads[notified.thread] = (before[0] + 1, before[1] + highlight)


class Unread:
    """The counts of a live room's users. `start` is the position after which no record is missing."""

    def __init__(self, records: list[NotifyRecord], start: int) -> None:
        self._records = records
        self._start = start
        self._counters: dict[UserID, tuple[UnreadCounts, ReadUpTo, int]] = {}

    def append(self, record: NotifyRecord) -> None:
        self._records.append(record)
        if len(self._records) > 2 * RECORDS_KEPT:
            self._start = self._records[-RECORDS_KEPT - 1].position
            del self._records[:-RECORDS_KEPT]

    def find(self, user_id: UserID) -> UnreadCounts | None:
        """The user's counts as of now; None until `start_counting` has been called for them."""
        counter = self._counters.get(user_id)
        if counter is None:
            return None
        counts, read, counted = counter
        records = self._records
        if not records or records[-1].position <= counted:
            return counts
        if counted < self._start:
            del self._counters[user_id]
            return None
        first = len(records) - 1
        while first and records[first - 1].position > counted:
            first -= 1
        for record in records[first:]:
            counts.add(user_id, record, read)
        self._counters[user_id] = (counts, read, records[-1].position)
        return counts

    def reaches(self, position: int) -> bool:
        """Whether memory holds every record after `position`."""
        return position >= self._start

    def start_counting(
        self, user_id: UserID, read: ReadUpTo, older: Iterable[NotifyRecord] = ()
    ) -> UnreadCounts:
        """Count anew from `read`; `older` are the records from there to `start`, if memory does not reach back."""
        counts = UnreadCounts()
        last = self._start
        for record in older:
            if record.position <= self._start:
                counts.add(user_id, record, read)
        for record in self._records:
            counts.add(user_id, record, read)
            last = record.position
        self._counters[user_id] = (counts, read, last)
        return counts

    def forget(self, user_id: UserID) -> None:
        """A receipt has moved, or the user has left: count anew when next asked."""
        self._counters.pop(user_id, None)
