"""The events that relate to another, and the threads of a room, as one user may see them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#relationships-api
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.ids import EventID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.visibility import Visibility
from storage import events as event_rows
from storage import relations
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction


@dataclass(slots=True)
class RelatedPage:
    """Some events, and the position from which the next page goes on."""

    events: list[TimelineEvent]
    next: int | None


class Related:
    """Finds related events."""

    MAX_DEPTH = 3

    def __init__(self, db: Database, visibility: Visibility) -> None:
        self._db = db
        self._visibility = visibility

    async def to_event(
        self,
        room: LiveRoom,
        user_id: UserID,
        event_id: EventID,
        *,
        rel_type: str | None,
        event_type: str | None,
        backwards: bool,
        start: int | None,
        to: int | None,
        limit: int,
        recurse: bool,
        ignored: frozenset[UserID],
    ) -> RelatedPage:
        """A page of what relates to the event, newest first if `backwards`."""
        depth = self.MAX_DEPTH if recurse else 1
        entries = await self._db.read(_children, room, [event_id], depth, rel_type, event_type)
        entries.sort(key=lambda entry: entry.position, reverse=backwards)
        if start is not None:
            entries = [e for e in entries if (e.position <= start if backwards else e.position > start)]
        if to is not None:
            entries = [e for e in entries if (e.position > to if backwards else e.position <= to)]
        entries = [entry for entry in entries if entry.event.sender not in ignored]
        seen = await self._visibility.visible(room, user_id, entries)
        page = seen[:limit]
        if len(seen) <= limit:
            return RelatedPage(page, None)
        return RelatedPage(page, page[-1].position - 1 if backwards else page[-1].position)

    async def threads(
        self,
        room: LiveRoom,
        user_id: UserID,
        *,
        start: int | None,
        limit: int,
        participated: bool,
        ignored: frozenset[UserID],
    ) -> RelatedPage:
        """A page of thread roots, the one with the newest reply first."""
        found: list[TimelineEvent] = []
        before = None if start is None else start + 1
        while True:
            rows, roots = await self._db.read(
                _threads, room, user_id, before, limit + 1, participated=participated
            )
            for row in rows:
                entry = roots.get(row.root)
                if entry is None or entry.event.sender in ignored:
                    continue
                if not await self._visibility.visible(room, user_id, [entry]):
                    continue
                if len(found) == limit:
                    return RelatedPage(found, row.position)
                found.append(entry)
            if len(rows) <= limit:
                return RelatedPage(found, None)
            before = rows[-1].position


def _children(
    txn: Transaction,
    room: LiveRoom,
    parents: Sequence[str],
    depth: int,
    rel_type: str | None,
    event_type: str | None,
) -> list[TimelineEvent]:
    numbers: list[int] = []
    generation: Sequence[str] = parents
    for _ in range(depth):
        children = [child for parent in generation for child in relations.children(txn, parent)]
        numbers += [
            child.number
            for child in children
            if (rel_type is None or child.rel_type == rel_type)
            and (event_type is None or child.type == event_type)
        ]
        rows = event_rows.by_number(txn, [child.number for child in children])
        generation = [row.event_id for row in rows.values()]
        if not generation:
            break
    rows = event_rows.by_number(txn, dict.fromkeys(numbers))
    number = txn.find_interned(room.room_id)
    shown = [row for row in rows.values() if row.room == number and not row.flags & event_rows.HIDDEN]
    return timeline_events(txn, shown, room.version)


def _threads(
    txn: Transaction, room: LiveRoom, user_id: UserID, before: int | None, limit: int, *, participated: bool
) -> tuple[list[relations.ThreadRow], dict[EventID, TimelineEvent]]:
    number = room_rows.number_of(txn, room.room_id)
    rows = relations.threads(txn, number, before=before, limit=limit)
    stored = event_rows.by_id(txn, [row.root for row in rows])
    # A root may have come after its replies, and turned out to be of another room.
    own = [row for row in stored.values() if row.room == number]
    roots = {entry.event.event_id: entry for entry in timeline_events(txn, own, room.version)}
    if participated:
        roots = {
            root: entry
            for root, entry in roots.items()
            if entry.event.sender == user_id
            or any(child.sender == user_id for child in relations.children(txn, root, rel_type="m.thread"))
        }
    return rows, roots
