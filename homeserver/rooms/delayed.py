"""Delayed events (MSC4140): sent later, unless their sender says otherwise first.

They are on the disk before their sender is told, and survive a restart: what fell due meanwhile is sent at once, in the
order in which it was due. Whether the sender may send is asked when the time has come, and a refusal is final.
Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4140
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeserver.errors import Conflict, Forbidden, InvalidParam, LimitExceeded, MatrixError, NotFound
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.sending import Sending
from homeserver.rooms.timeline import TransactionId
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage import delayed_events as rows
from storage.database import Database
from storage.delayed_events import DelayedRow

MAX_SCHEDULED = 100
KEPT = 1000
"""Ended ones of one user that are remembered, and for how long."""
KEPT_MS = 7 * 24 * 3600 * 1000
_OUTCOME = {"send": rows.SENT, "cancel": rows.CANCELLED}


class DelayedEvents:
    """Keeps delayed events and sends them in time."""

    def __init__(
        self,
        db: Database,
        sending: Sending,
        access: RoomAccess,
        clock: Clock,
        tasks: Tasks,
        random: Randomness,
        *,
        max_delay_ms: int,
    ) -> None:
        self._db = db
        self._sending = sending
        self._access = access
        self._clock = clock
        self._tasks = tasks
        self._random = random
        self.max_delay_ms = max_delay_ms
        self._timers: dict[str, Timer] = {}

    async def start(self) -> None:
        """Take up what was scheduled before a restart."""
        now_ms = self._clock.now_ms()
        scheduled = await self._db.read(rows.list_scheduled)
        unfinished = await self._db.read(rows.list_unfinished)
        overdue = [row for row in scheduled if row.due_ms <= now_ms]
        for row in scheduled:
            if row.due_ms > now_ms:
                self._wait_for(row)
        if overdue or unfinished:
            self._tasks.spawn("send overdue events", self._send_overdue(unfinished, overdue))

    async def _send_overdue(self, unfinished: Sequence[DelayedRow], overdue: Sequence[DelayedRow]) -> None:
        """What fell due while nobody was there, in the order in which it did."""
        for row in sorted(unfinished, key=lambda each: each.due_ms):
            # If the event had been sent after all, its transaction answers with it.
            await self._deliver(row)
        for row in sorted(overdue, key=lambda each: each.due_ms):
            await self._send(row)

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    async def schedule(
        self,
        room_id: RoomID,
        sender: UserID,
        device_id: DeviceID | None,
        event_type: str,
        content: Mapping[str, Any],
        *,
        delay_ms: int,
        state_key: str | None = None,
        txn_id: str | None = None,
    ) -> str:
        """The ID by which the delayed event can be acted on; a repeated transaction ID answers the first.

        Raises:
            Forbidden: the delay is longer than this server allows, or the user is not in the room.
            LimitExceeded: too many are waiting already.
        """
        if delay_ms < 0:
            raise InvalidParam("the delay must not be negative")
        if delay_ms > self.max_delay_ms:
            raise Forbidden(f"delays of at most {self.max_delay_ms} ms are allowed")
        await self._access.joined(room_id, sender)
        known = await self._db.read(rows.list_of_sender, sender)
        if txn_id is not None:
            for row in known:
                if row.txn_id == txn_id and row.device == device_id:
                    return row.delay_id
        if sum(row.state == rows.SCHEDULED for row in known) >= MAX_SCHEDULED:
            raise LimitExceeded(f"{MAX_SCHEDULED} delayed events are waiting already", retry_after_ms=60_000)
        row = DelayedRow(
            self._random.token(15),
            sender,
            device_id,
            room_id,
            event_type,
            state_key,
            msgspec.json.encode(content),
            txn_id,
            delay_ms,
            self._clock.now_ms(),
            rows.SCHEDULED,
            None,
            None,
            None,
        )
        await self._db.run(rows.add, row)
        self._wait_for(row)
        return row.delay_id

    async def act(self, user_id: UserID, delay_id: str, action: str) -> None:
        """Send it now, cancel it, or start its delay anew.

        Raises:
            NotFound: the user has no such delayed event.
            Conflict: it has ended otherwise already.
        """
        if action not in ("send", "cancel", "restart"):
            raise InvalidParam("action must be send, cancel or restart")
        row = await self.load(user_id, delay_id)
        if row.state != rows.SCHEDULED:
            if _OUTCOME.get(action) != row.state:
                raise Conflict(f"the delayed event has been {row.state}")
            return
        if action == "send":
            await self._send(row)
        elif action == "cancel":
            self._forget_timer(delay_id)
            if not await self._db.run(rows.finalise, delay_id, rows.CANCELLED, self._clock.now_ms()):
                raise Conflict("the delayed event has just been sent")
        else:
            now_ms = self._clock.now_ms()
            if not await self._db.run(rows.restart, delay_id, now_ms):
                raise Conflict("the delayed event has just ended")
            self._wait_for(row._replace(running_since_ms=now_ms))

    async def load(self, user_id: UserID, delay_id: str) -> DelayedRow:
        row = await self._db.read(rows.find, delay_id)
        if row is None or row.sender != user_id:
            raise NotFound(f"no delayed event {delay_id}")
        return row

    async def list(self, user_id: UserID) -> list[DelayedRow]:
        return await self._db.read(rows.list_of_sender, user_id)

    def _wait_for(self, row: DelayedRow) -> None:
        self._forget_timer(row.delay_id)
        left_s = max(0, row.due_ms - self._clock.now_ms()) / 1000
        self._timers[row.delay_id] = self._clock.call_later(left_s, self._due, row)

    def _forget_timer(self, delay_id: str) -> None:
        timer = self._timers.pop(delay_id, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _due(self, row: DelayedRow) -> None:
        self._timers.pop(row.delay_id, None)
        self._tasks.spawn(f"delayed event {row.delay_id}", self._send(row))

    async def _send(self, row: DelayedRow) -> None:
        """Send it, once: whoever finalises the row first is the one who sends."""
        self._forget_timer(row.delay_id)
        if await self._db.run(rows.finalise, row.delay_id, rows.SENT, self._clock.now_ms()):
            await self._deliver(row)

    async def _deliver(self, row: DelayedRow) -> None:
        """Put the event into its room, and write down what came of it."""
        unsigned = {"delay_id": row.delay_id, "org.matrix.msc4140.delay_id": row.delay_id}
        content = msgspec.json.decode(row.content)
        sender, room_id = UserID(row.sender), RoomID(row.room_id)
        device = None if row.device is None else DeviceID(row.device)
        transaction = TransactionId(sender, device, f"delayed {row.delay_id}")
        event_id, error = None, None
        try:
            if row.state_key is None:
                event_id = await self._sending.message(
                    room_id, sender, row.type, content, transaction=transaction, unsigned=unsigned
                )
            else:
                event_id = await self._sending.state(
                    room_id,
                    sender,
                    row.type,
                    row.state_key,
                    content,
                    transaction=transaction,
                    unsigned=unsigned,
                )
        except MatrixError as refusal:
            error = msgspec.json.encode(refusal.body())
        await self._db.run(rows.set_outcome, row.delay_id, event_id=event_id, error=error)
        await self._db.run(rows.forget_finalised, sender, before_ms=self._clock.now_ms() - KEPT_MS, keep=KEPT)
