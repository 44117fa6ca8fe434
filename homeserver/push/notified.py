"""The events that notified a user, from the newest back, whichever rooms they came in.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.events.room_versions import room_version
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import Notified, TimelineEvent
from homeserver.rooms.unread import HIGHLIGHT, NOTIFY, SOUND
from homeserver.rooms.visibility import Visibility
from storage import events as event_rows
from storage import pushers as rows
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction

ROUNDS = 10
NEWEST = 2**62


def outcome_of(notified: Notified | None, user_id: UserID) -> int:
    """What an event does for a user; see the bits of `rooms.unread`."""
    return 0 if notified is None else notified.exceptions.get(user_id, notified.default)


def actions_of(outcome: int) -> list[Any]:
    """An outcome as the actions of a push rule."""
    actions: list[Any] = ["notify"]
    if outcome & SOUND:
        actions.append({"set_tweak": "sound", "value": "default"})
    if outcome & HIGHLIGHT:
        actions.append({"set_tweak": "highlight"})
    return actions


@dataclass(slots=True)
class Notification:
    """An event that notified the user."""

    room_id: RoomID
    entry: TimelineEvent
    outcome: int
    read: bool


@dataclass(slots=True)
class NotificationPage:
    """Some of them, as ready JSON with the rest of what is told, and the token that goes on."""

    notifications: list[tuple[Notification, bytes]]
    next_token: str | None


class Notifications:
    """Reads what notified users."""

    def __init__(self, db: Database, rooms: Rooms, visibility: Visibility, bundles: Bundles) -> None:
        self._db = db
        self._rooms = rooms
        self._visibility = visibility
        self._bundles = bundles

    async def page(
        self, user_id: UserID, device_id: DeviceID | None, *, before: int, limit: int, highlights: bool
    ) -> NotificationPage:
        """Up to `limit` notifications before a log position, newest first."""
        page = NotificationPage([], None)
        for _ in range(ROUNDS):
            found = await self._db.read(_before, user_id, before, limit + 1)
            for entry in found:
                if len(page.notifications) == limit:
                    page.next_token = str(page.notifications[-1][0].entry.position)
                    return page
                before = entry.position
                shown = await self._shown(user_id, device_id, entry, highlights=highlights)
                if shown is not None:
                    page.notifications.append(shown)
            if len(found) <= limit:
                return page
        page.next_token = str(before)
        return page

    async def _shown(
        self, user_id: UserID, device_id: DeviceID | None, entry: TimelineEvent, *, highlights: bool
    ) -> tuple[Notification, bytes] | None:
        outcome = outcome_of(entry.notified, user_id)
        if not outcome & NOTIFY or entry.event.sender == user_id or (highlights and not outcome & HIGHLIGHT):
            return None
        room = await self._rooms.find_or_load(entry.event.room_id)
        if room is None or not await self._visibility.visible(room, user_id, [entry]):
            return None
        read_up_to = room.read_up_to(user_id, room.joined_at.get(user_id, 0))
        thread = None if entry.notified is None else entry.notified.thread
        read = read_up_to.covers(entry.position, thread)
        (event,) = await self._bundles.json(room, [entry], user_id, device_id)
        return Notification(room.room_id, entry, outcome, read), event

    async def after(self, user_id: UserID, position: int, limit: int) -> list[TimelineEvent]:
        """The last `limit` events after a position that may notify the user, oldest first."""
        found = await self._db.read(_before, user_id, NEWEST, limit, after=position)
        return [
            entry
            for entry in reversed(found)
            if outcome_of(entry.notified, user_id) & NOTIFY and entry.event.sender != user_id
        ]


def _before(
    txn: Transaction, user_id: UserID, before: int, limit: int, *, after: int = 0
) -> list[TimelineEvent]:
    candidates: list[tuple[int, int, RoomID]] = []
    for room in rows.list_rooms(txn, user_id):
        newest = rows.newest_notifying(
            txn, room.room_id, since=max(room.since, after + 1), before=before, limit=limit
        )
        candidates += [(position, number, room.room_id) for position, number in newest]
    candidates.sort(reverse=True)
    chosen = candidates[:limit]
    stored = event_rows.by_number(txn, [number for _, number, _ in chosen])
    found: list[TimelineEvent] = []
    for _, number, room_id in chosen:
        room_row = room_rows.find(txn, room_id)
        if room_row is not None and number in stored:
            found += timeline_events(txn, [stored[number]], room_version(room_row[1]))
    return found
