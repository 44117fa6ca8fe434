"""What waits for each device, in memory while the device is about, until the device says that it has it.

A device says so by asking for what came later. Only then are its messages deleted, a little later and many at a time:
if that is lost in a crash, the device's next place still says what it has.
Spec: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from federation.outbound.once import Once
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import to_device as rows
from storage.database import Database
from storage.to_device import Message

MESSAGES_PER_ANSWER = 100
INBOXES_KEPT = 20_000
MESSAGES_KEPT = 200
"""Messages of one device in memory; of one that has more waiting, none are."""
DELETE_AFTER_S = 1.0

_Device = tuple[UserID, DeviceID]


class Pending(NamedTuple):
    """Messages in order of arrival. `last` is the position of the last one if there are more after it."""

    messages: list[bytes]
    last: int | None


class Inboxes:
    """Delivers messages to devices. `pending` and `acknowledge` serve every transport alike."""

    def __init__(self, db: Database, notifier: Notifier, clock: Clock, tasks: Tasks) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        # An inbox holds every message of its device that is in the database and not acknowledged.
        self._inboxes: OrderedDict[_Device, list[Message]] = OrderedDict()
        self._arrivals: dict[_Device, list[Message]] = {}
        self._lost: set[_Device] = set()
        self._opening: Once[_Device, None] = Once()
        self._acknowledged: dict[_Device, int] = {}
        self._timer: Timer | None = None
        notifier.subscribe(self._on_entries)

    async def pending(
        self,
        user_id: UserID,
        device_id: DeviceID,
        after: int,
        *,
        until: int | None = None,
        limit: int = MESSAGES_PER_ANSWER,
    ) -> Pending:
        """The oldest messages for the device after a position (and not beyond another), whether told before or not."""
        device = (user_id, device_id)
        inbox = self._inboxes.get(device)
        if inbox is None:
            await self.open(user_id, device_id)
            inbox = self._inboxes.get(device)
        after = max(after, self._acknowledged.get(device, after))
        if inbox is None:
            stored = await self._db.read(rows.list_after, user_id, device_id, after, limit + 1)
            return _pending(stored, until, limit)
        if not inbox or inbox[-1].position <= after:
            return Pending([], None)
        return _pending([one for one in inbox if one.position > after], until, limit)

    def is_empty(self, user_id: UserID, device_id: DeviceID) -> bool:
        """Whether nothing waits for the device for certain, without asking the database."""
        inbox = self._inboxes.get((user_id, device_id))
        return inbox is not None and not inbox

    async def open(self, user_id: UserID, device_id: DeviceID) -> None:
        """Have everything in memory that waits for the device, unless it is too much."""
        device = (user_id, device_id)
        if device not in self._inboxes:
            await self._opening.run(device, lambda: self._open(device))

    def acknowledge(self, user_id: UserID, device_id: DeviceID, position: int) -> None:
        """The device has everything up to a position and will not be told of it again."""
        device = (user_id, device_id)
        inbox = self._inboxes.get(device)
        if inbox is not None:
            taken = sum(one.position <= position for one in inbox)
            if not taken:
                return
            del inbox[:taken]
        elif self._acknowledged.get(device, -1) >= position:
            return
        self._acknowledged[device] = position
        if self._timer is None:
            self._timer = self._clock.call_later(DELETE_AFTER_S, self._delete)

    async def flush(self) -> None:
        """Delete now what has been acknowledged."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._delete_acknowledged()

    def forget(self, user_id: UserID, device_id: DeviceID) -> None:
        """What is in memory may not be so any more."""
        device = (user_id, device_id)
        self._inboxes.pop(device, None)
        if device in self._arrivals:
            self._lost.add(device)

    def _delete(self) -> None:
        self._timer = None
        self._tasks.spawn("delete messages that devices have", self._delete_acknowledged())

    async def _delete_acknowledged(self) -> None:
        acknowledged = dict(self._acknowledged)
        if acknowledged:
            await self._db.run(
                rows.delete_up_to, [(*device, position) for device, position in acknowledged.items()]
            )
        for device, position in acknowledged.items():
            if self._acknowledged.get(device) == position:
                del self._acknowledged[device]

    async def _open(self, device: _Device) -> None:
        arrived = self._arrivals[device] = []
        try:
            stored = await self._db.read(rows.list_after, *device, 0, MESSAGES_KEPT + 1)
            is_whole = len(stored) <= MESSAGES_KEPT and device not in self._lost
        finally:
            del self._arrivals[device]
            self._lost.discard(device)
        if not is_whole:
            return
        # What was announced while the snapshot was read may be in it.
        last = stored[-1].position if stored else 0
        stored += [message for message in arrived if message.position > last]
        acknowledged = self._acknowledged.get(device, 0)
        self._inboxes[device] = [message for message in stored if message.position > acknowledged]
        while len(self._inboxes) > INBOXES_KEPT:
            self._inboxes.popitem(last=False)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.TO_DEVICE:
                device = (UserID(entry.user_id or ""), DeviceID(entry.ref))
                inbox = self._inboxes.get(device)
                if inbox is not None and not _arrive(inbox, entry):
                    del self._inboxes[device]
                arrivals = self._arrivals.get(device)
                if arrivals is not None and not _arrive(arrivals, entry):
                    self._lost.add(device)
            elif entry.kind is LogKind.DEVICE_LIST and entry.user_id is not None:
                # It may be gone, and come again as another.
                self.forget(UserID(entry.user_id), DeviceID(entry.ref))


def _arrive(inbox: list[Message], entry: LogEntry) -> bool:
    """False if the inbox cannot have all messages any more."""
    if entry.payload is None or len(inbox) >= MESSAGES_KEPT:
        return False
    inbox.append(Message(entry.position, entry.payload))
    return True


def _pending(messages: Sequence[Message], until: int | None, limit: int) -> Pending:
    wanted = messages if until is None else [one for one in messages if one.position <= until]
    if len(wanted) > limit:
        return Pending([one.message for one in wanted[:limit]], wanted[limit - 1].position)
    return Pending([one.message for one in wanted], None)
