"""A follower of the log for one application service: it tells the service, in order, until the service has heard.

What is being told is on the disk before it is sent, under a number: after a crash the same transaction is sent again.
Only what passes (typing, receipts, presence) is told without. A service that fails is tried again ever more rarely; it
delays nobody but itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from twisted.internet.defer import Deferred

from homeserver.appservices.client import ServiceClient
from homeserver.appservices.ephemera import Ephemera
from homeserver.appservices.interest import Interest
from homeserver.appservices.registration import Appservice
from homeserver.appservices.transactions import Telling, compose, event_json, load_secrets
from homeserver.errors import RemoteError
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.log_tail import LogTail
from homeserver.rooms.receipts import GivenReceipt
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.bell import Bell
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind
from homeserver.runtime.tasks import Tasks
from storage import appservices as rows
from storage import events as event_rows
from storage import followers, to_device
from storage.appservices import SentTransaction
from storage.database import Database
from storage.transaction import Transaction

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 300.0
SAVE_EVERY = 1000
"""Log positions after which the place is saved even though the service had nothing to hear."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """What following needs, the same for every service. `prefix` differs with every start of the process."""

    db: Database
    tail: LogTail
    rooms: Rooms
    client: ServiceClient
    clock: Clock
    tasks: Tasks
    prefix: str


class ServiceFollower:
    """Follows the log for one service."""

    def __init__(
        self, service: Appservice, following: Following, interest: Interest, ephemera: Ephemera
    ) -> None:
        self._service = service
        self._db = following.db
        self._tail = following.tail
        self._rooms = following.rooms
        self._client = following.client
        self._clock = following.clock
        self._tasks = following.tasks
        self._prefix = following.prefix
        self._interest = interest
        self._ephemera = ephemera
        self._bell = Bell(following.clock)
        self._place = self._saved = 0
        self._passing = 0
        self._running: Deferred[None] | None = None
        # Whether the service hears of an event is decided when it comes: its users may have left when it is told.
        self._judged_after = following.tail.position
        self._wanted: set[int] = set()

    def start(self) -> None:
        self._running = self._tasks.spawn(f"application service {self._service.id}", self._run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None
        if self._place > self._saved:
            await self._db.run(followers.save_place, rows.follower_of(self._service.id), self._place)

    def committed(self, entries: Sequence[LogEntry]) -> None:
        """The log has gone on."""
        for entry in entries:
            payload = entry.payload
            if entry.kind is LogKind.EVENT and isinstance(payload, TimelineEvent):
                if self._interest.in_event(payload, self._rooms.find(entry.room_id or "")):
                    self._wanted.add(entry.position)
            elif entry.kind is LogKind.RECEIPT and isinstance(payload, GivenReceipt):
                self._read(payload)
        self._bell.ring()

    def passed(self, kind: str, room_id: str | None, user_id: str | None) -> None:
        """Something that is not stored has happened."""
        if self._service.registration.wants_ephemeral and self._ephemera.changed(kind, room_id, user_id):
            self._bell.ring()

    def _read(self, receipt: GivenReceipt) -> None:
        if not self._service.registration.wants_ephemeral:
            return
        if receipt.receipt_type == "m.read.private" and not self._interest.in_user(receipt.user_id):
            return
        room = self._rooms.find(receipt.room_id)
        if room is not None and self._interest.in_room(room):
            self._ephemera.read(receipt)

    # Following.

    async def _run(self) -> None:
        name = rows.follower_of(self._service.id)
        self._place = self._saved = await self._tail.begin(name)
        unfinished = await self._db.read(rows.find_unacknowledged, self._service.id)
        if unfinished is not None:
            await self._tell(unfinished)
        while True:
            telling = await self._gather()
            ephemeral = self._ephemera.take()
            if not telling.is_empty:
                messages, counts, fallbacks = await self._db.read(load_secrets, telling)
                body = compose(telling, ephemeral, messages, counts, fallbacks)
                await self._tell(await self._db.run(rows.begin, self._service.id, telling.until, body))
            elif ephemeral:
                self._passing += 1
                body = compose(telling, ephemeral, [], {}, {})
                await self._send(f"{self._prefix}{self._passing}", body)
            else:
                if self._place - self._saved >= SAVE_EVERY:
                    self._saved = self._place
                    await self._db.run(followers.save_place, name, self._place)
                await self._bell.wait()

    async def _tell(self, transaction: SentTransaction) -> None:
        await self._send(str(transaction.number), transaction.body)
        await self._db.run(_acknowledge, self._service.id, transaction)
        self._place = self._saved = max(self._place, transaction.until)

    async def _send(self, txn_id: str, body: bytes) -> None:
        """Send until the service has taken it."""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self._client.send_transaction(self._service, txn_id, body)
            except RemoteError as error:
                _log.info(
                    "an application service did not take a transaction",
                    appservice=self._service.id,
                    transaction=txn_id,
                    reason=str(error),
                    again_in_s=delay_s,
                )
                await self._clock.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
            else:
                return

    # What there is to tell.

    async def _gather(self) -> Telling:
        telling = Telling(self._place)
        while not telling.is_full():
            entries = await self._tail.after(telling.until)
            if not entries:
                break
            for entry in entries:
                await self._take(telling, entry)
                telling.until = entry.position
                self._wanted.discard(entry.position)
                if telling.is_full():
                    break
            if telling.is_empty:
                self._place = telling.until
        return telling

    async def _take(self, telling: Telling, entry: LogEntry) -> None:
        registration = self._service.registration
        kind = entry.kind
        if kind is LogKind.EVENT and isinstance(entry.payload, TimelineEvent):
            await self._take_event(telling, entry, entry.payload)
        elif kind is LogKind.TO_DEVICE:
            if self._interest.in_user(entry.user_id) and (
                registration.wants_ephemeral or registration.wants_encryption
            ):
                user_id = UserID(entry.user_id or "")
                telling.messages.append((user_id, entry.ref, entry.position))
                if registration.wants_encryption:
                    telling.counted_users[user_id] = None
        elif not registration.wants_encryption:
            return
        elif kind is LogKind.DEVICE_KEYS_COUNT:
            if self._interest.in_user(entry.user_id):
                telling.counted_users[UserID(entry.user_id or "")] = None
        elif kind in (LogKind.DEVICE_LIST, LogKind.CROSS_SIGNING) and entry.user_id is not None:
            sharing = entry.payload
            if (
                not isinstance(sharing, frozenset)
                or self._interest.in_user(entry.user_id)
                or any(self._interest.in_user(user) for user in sharing)
            ):
                telling.changed_devices[entry.user_id] = None

    async def _take_event(self, telling: Telling, entry: LogEntry, event: TimelineEvent) -> None:
        room_id = event.event.room_id
        if entry.position > self._judged_after:
            if entry.position not in self._wanted:
                return
        elif not self._interest.in_event(event, await self._rooms.find_or_load(RoomID(room_id))):
            return
        if event.flags & event_rows.HIDDEN:
            return
        is_own = self._interest.in_user(event.event.state_key)
        telling.events.append(event_json(event, self._rooms.find(room_id), is_own=is_own))


def _acknowledge(txn: Transaction, appservice: str, transaction: SentTransaction) -> None:
    """The service has it, and with it what was for the devices of its users."""
    rows.acknowledge(txn, appservice, transaction.until)
    if b'"to_device"' in transaction.body:
        told: list[dict[str, Any]] = msgspec.json.decode(transaction.body).get("to_device", [])
        devices = {(UserID(each["to_user_id"]), DeviceID(each["to_device_id"])) for each in told}
        to_device.delete_up_to(
            txn, [(user_id, device_id, transaction.until) for user_id, device_id in sorted(devices)]
        )
