"""Ways back through the graph of a room's events, as servers ask for them: by `prev_events`, not by arrival.

Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heappop, heappush

from homeserver.ids import EventID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Transaction


class Past:
    """Reads events for other servers; whoever calls decides what they may see."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def before(self, room: LiveRoom, event_ids: Collection[EventID], limit: int) -> list[TimelineEvent]:
        """The events and what came before them, the deepest first."""
        return await self._db.read(_walk, room, event_ids, frozenset(), limit, 0, include_starts=True)

    async def between(
        self,
        room: LiveRoom,
        latest: Collection[EventID],
        earliest: Collection[EventID],
        limit: int,
        min_depth: int,
    ) -> list[TimelineEvent]:
        """What came before `latest` up to `earliest`, both left out, oldest first."""
        found = await self._db.read(
            _walk, room, latest, frozenset(earliest), limit, min_depth, include_starts=False
        )
        found.sort(key=lambda each: each.event.depth)
        return found

    async def event(self, room: LiveRoom, event_id: EventID) -> TimelineEvent | None:
        """One event of the room, whether or not it has a place there."""
        return await self._db.read(_one, room, event_id)

    async def nearest(self, room: LiveRoom, ts: int, *, forwards: bool) -> TimelineEvent | None:
        return await self._db.read(_nearest, room, ts, forwards=forwards)


def _load(txn: Transaction, room: LiveRoom, event_ids: Collection[EventID]) -> list[TimelineEvent]:
    number = room_rows.number_of(txn, room.room_id)
    rows = [
        row
        for row in event_rows.by_id(txn, event_ids).values()
        if row.room == number and not row.flags & EventFlag.REJECTED
    ]
    return timeline_events(txn, rows, room.version)


def _walk(
    txn: Transaction,
    room: LiveRoom,
    starts: Collection[EventID],
    stops: frozenset[EventID],
    limit: int,
    min_depth: int,
    *,
    include_starts: bool,
) -> list[TimelineEvent]:
    found: list[TimelineEvent] = []
    seen: set[EventID] = set(starts) | stops
    waiting: list[tuple[int, EventID, TimelineEvent]] = []

    def wait(event_ids: Collection[EventID]) -> None:
        for each in _load(txn, room, event_ids):
            # Events without a place in the room are known, but not where they lead.
            if each.state_before is not None:
                heappush(waiting, (-each.event.depth, each.event.event_id, each))

    wait(starts)
    taken = set(starts)
    while waiting and len(found) < limit:
        _, event_id, each = heappop(waiting)
        if include_starts or event_id not in taken:
            if each.event.depth < min_depth:
                continue
            found.append(each)
        before = [one for one in each.event.prev_events if one not in seen]
        seen.update(before)
        wait(before)
    return found


def _one(txn: Transaction, room: LiveRoom, event_id: EventID) -> TimelineEvent | None:
    found = _load(txn, room, [event_id])
    return found[0] if found else None


def _nearest(txn: Transaction, room: LiveRoom, ts: int, *, forwards: bool) -> TimelineEvent | None:
    row = event_rows.nearest_to(txn, room_rows.number_of(txn, room.room_id), ts, forwards=forwards)
    return None if row is None else timeline_events(txn, [row], room.version)[0]
