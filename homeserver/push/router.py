"""The follower of the log that gives every event to the pushers of those whom it notifies.

Pushers that keep up share one stored place; one that is behind has a place of its own, where it begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from homeserver.ids import UserID
from homeserver.push.delivery import Delivering, Delivery
from homeserver.push.mail import MailDelivery, Mailing
from homeserver.push.notified import Notifications, outcome_of
from homeserver.push.pushers import Pushers
from homeserver.rooms.log_tail import LogTail
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.unread import NOTIFY
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import followers
from storage import pushers as rows
from storage.database import Database
from storage.pushers import Progress, PusherKey, PusherRow
from storage.transaction import Transaction

FOLLOWER = "push"
SAVE_EVERY_S = 5.0
SAVE_EVERY_POSITIONS = 1000
BEHIND_AT_MOST = 100


class AnyDelivery(Protocol):
    """What waits for one pusher, however it is told."""

    pusher: PusherRow

    @property
    def progress(self) -> Progress: ...

    def add(self, entry: TimelineEvent | None, position: int) -> None: ...

    def stop(self) -> None: ...


class DeliveryKinds:
    """How each kind of pusher is told; without `mailing` there are no mails."""

    def __init__(self, delivering: Delivering, mailing: Mailing | None) -> None:
        self._delivering = delivering
        self._mailing = mailing
        self.clock: Clock = delivering.clock
        self.tasks: Tasks = delivering.tasks

    def make(
        self,
        pusher: PusherRow,
        gone: Callable[[PusherRow], None],
        moved: Callable[[AnyDelivery], None],
    ) -> AnyDelivery | None:
        if pusher.kind == "http":
            return Delivery(pusher, self._delivering, gone, moved)
        if pusher.kind == "email" and self._mailing is not None:
            return MailDelivery(pusher, self._mailing, moved)
        return None


class PushRouter:
    """Knows every pusher of this server, and what each still has to tell."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        notifications: Notifications,
        tail: LogTail,
        kinds: DeliveryKinds,
        pushers: Pushers,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._notifications = notifications
        self._tail = tail
        self._kinds = kinds
        self._pushers = pushers
        self._clock = kinds.clock
        self._tasks = kinds.tasks
        self._deliveries: dict[UserID, dict[PusherKey, AnyDelivery]] = {}
        self._moved: set[AnyDelivery] = set()
        self._routed = self._saved = 0
        self._timer: Timer | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self, notifier: Notifier) -> None:
        """Take up every pusher where it stopped, and follow from now on."""
        place = await self._tail.begin(FOLLOWER)
        behind: list[AnyDelivery] = []
        for row in await self._db.read(rows.list_all):
            delivery = self._add(row)
            if delivery is not None and row.place is not None and row.place < place:
                behind.append(delivery)
        self._saved = place
        self._routed = self._tail.position
        self._pushers.subscribe(self._changed, self._others_gone)
        self._unsubscribe = notifier.subscribe(self._on_entries)
        if self._deliveries:
            self._tasks.spawn("pushers catch up", self._catch_up(behind, place, self._routed))

    async def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for deliveries in self._deliveries.values():
            for delivery in deliveries.values():
                delivery.stop()
        await self._save()

    async def _catch_up(self, behind: Sequence[AnyDelivery], place: int, until: int) -> None:
        """First what single pushers had still to tell, then what has come while nobody was there."""
        for delivery in behind:
            since = delivery.pusher.place
            if since is not None:
                missed = await self._notifications.after(delivery.pusher.user_id, since, BEHIND_AT_MOST)
                for entry in missed:
                    if entry.position <= place:
                        delivery.add(entry, entry.position)
        while place < until:
            entries = await self._tail.after(place)
            if not entries:
                return
            for log_entry in entries:
                if log_entry.position <= until:
                    if isinstance(log_entry.payload, TimelineEvent):
                        await self._rooms.find_or_load(log_entry.payload.event.room_id)
                    self._route(log_entry)
            place = entries[-1].position

    # What changes.

    def reload(self, user_id: UserID) -> None:
        """Sessions of the user have ended, and their pushers with them."""
        if user_id in self._deliveries:
            self._tasks.spawn(f"pushers of {user_id}", self._reload(user_id))

    async def _reload(self, user_id: UserID) -> None:
        kept = {row.key for row in await self._db.read(rows.list_of_user, user_id)}
        for key in list(self._deliveries.get(user_id, ())):
            if key not in kept:
                self._remove(key)

    def _changed(self, key: PusherKey, pusher: PusherRow | None) -> None:
        self._remove(key)
        if pusher is not None:
            self._add(pusher)

    def _others_gone(self, key: PusherKey) -> None:
        for user_id in list(self._deliveries):
            if user_id != key.user_id:
                self._remove(PusherKey(user_id, key.app_id, key.pushkey))

    def _add(self, pusher: PusherRow) -> AnyDelivery | None:
        delivery = self._kinds.make(pusher, self._gone, self._has_moved)
        if delivery is None:
            return None
        self._deliveries.setdefault(pusher.user_id, {})[pusher.key] = delivery
        return delivery

    def _remove(self, key: PusherKey) -> None:
        deliveries = self._deliveries.get(key.user_id, {})
        delivery = deliveries.pop(key, None)
        if delivery is not None:
            self._moved.discard(delivery)
            delivery.stop()
            if not deliveries:
                del self._deliveries[key.user_id]

    def _gone(self, pusher: PusherRow) -> None:
        """The gateway wants to hear no more of it."""
        deliveries = self._deliveries.get(pusher.user_id, {})
        deliveries.pop(pusher.key, None)
        if not deliveries:
            self._deliveries.pop(pusher.user_id, None)
        self._tasks.spawn("remove a rejected pusher", self._pushers.delete(pusher.key))

    # What comes.

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        if self._deliveries:
            for entry in entries:
                self._route(entry)
        self._routed = entries[-1].position
        if self._routed - self._saved > SAVE_EVERY_POSITIONS:
            self._save_later()

    def _route(self, entry: LogEntry) -> None:
        if entry.kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
            for user_id in self._notified(entry.payload):
                for delivery in self._deliveries[user_id].values():
                    delivery.add(entry.payload, entry.position)
        elif entry.kind is LogKind.RECEIPT and entry.user_id in self._deliveries:
            for delivery in self._deliveries[UserID(entry.user_id or "")].values():
                delivery.add(None, entry.position)

    def _notified(self, entry: TimelineEvent) -> set[UserID]:
        """Those whom the event notifies and who have pushers."""
        notified = entry.notified
        if notified is None:
            return set()
        found = {user for user in notified.exceptions if user in self._deliveries}
        if notified.default & NOTIFY:
            room = self._rooms.find(entry.event.room_id)
            if room is not None:
                found |= self._deliveries.keys() & room.local_joined
        found.discard(entry.event.sender)
        return {user for user in found if outcome_of(notified, user) & NOTIFY}

    # The places.

    def _has_moved(self, delivery: AnyDelivery) -> None:
        self._moved.add(delivery)
        self._save_later()

    def _save_later(self) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.call_later(SAVE_EVERY_S, self._save_in_time)

    def _save_in_time(self) -> None:
        self._tasks.spawn("save the places of pushers", self._save())

    async def _save(self) -> None:
        moved, self._moved = self._moved, set()
        progress = [delivery.progress for delivery in moved]
        if progress or self._routed > self._saved:
            self._saved = self._routed
            await self._db.run(_save, progress, self._routed)


def _save(txn: Transaction, progress: Sequence[Progress], place: int) -> None:
    rows.save_progress(txn, progress)
    followers.save_place(txn, FOLLOWER, place)
