"""What users have hidden from themselves, in memory: every way to an event's content obeys it, for stock clients too.

Matrix has neither *delete for me* nor *clear*. State is never hidden, and nothing of this leaves the server.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from homeserver.ids import RoomID, UserID
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import concealment
from storage.concealment import CLEARED, Concealment
from storage.database import Database

REMEMBERED = 10_000


class Concealed:
    """Knows what each user has hidden."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._users: OrderedDict[UserID, Mapping[RoomID, Concealment]] = OrderedDict()
        self._generation = 0
        notifier.subscribe(self._on_entries)

    def find(self, user_id: UserID) -> Mapping[RoomID, Concealment] | None:
        """What the user has hidden, by room; None if it has to be loaded."""
        return self._users.get(user_id)

    async def load(self, user_id: UserID) -> Mapping[RoomID, Concealment]:
        known = self._users.get(user_id)
        if known is not None:
            return known
        generation = self._generation
        found = await self._db.read(concealment.load, user_id)
        if generation == self._generation:
            self._users[user_id] = found
            while len(self._users) > REMEMBERED:
                self._users.popitem(last=False)
        return found

    async def without(
        self, user_id: UserID, room_id: RoomID, events: Sequence[TimelineEvent]
    ) -> Sequence[TimelineEvent]:
        """The events that the user has not hidden."""
        known = self._users.get(user_id)
        if known is None:
            known = await self.load(user_id)
        hidden = known.get(room_id)
        return events if hidden is None else [event for event in events if not conceals(hidden, event)]

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.VISIBILITY or (
                entry.kind is LogKind.ROOM_ACCOUNT_DATA and entry.ref == CLEARED
            ):
                self._generation += 1
                self._users.pop(UserID(entry.user_id or ""), None)


def conceals(hidden: Concealment, event: TimelineEvent) -> bool:
    if event.event.state_key is not None:
        return False
    return event.position <= hidden.cleared_position or event.event.event_id in hidden.hidden
