"""Event numbers: what state trees and joins call an event instead of its ID."""

from __future__ import annotations

from storage import events
from storage.database import Database


class EventNumbers:
    """Hands out event numbers in memory; one process writes events, so the last one stored is where to go on."""

    def __init__(self, last: int) -> None:
        self._last = last

    @classmethod
    async def load(cls, db: Database) -> EventNumbers:
        return cls(await db.read(events.last_number))

    def next(self) -> int:
        self._last += 1
        return self._last
