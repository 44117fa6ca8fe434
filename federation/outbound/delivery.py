"""One server's follower of the log: what it is owed is sent in order, one transaction at a time.

A server that answers *keeps up*: its events wait in memory, at most for the transaction before them. One that fails
*lags behind*: its place is stored, its queue is dropped, and when it is back it gets what it missed from the database,
the newest event of each room first. Place and queue never overlap: events up to `place` are delivered, and while
there is a place, later events are not queued.
Spec: https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from twisted.internet.defer import DeferredSemaphore

from federation.outbound.backoff import Backoff
from federation.outbound.pending import OutgoingEvent, Pending
from federation.outbound.policy import ServerDenied
from federation.outbound.requests import Refused
from federation.wire.transactions import MAX_EDUS, MAX_PDUS, TransactionResult, encode_transaction
from homeserver.errors import RemoteError
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from storage import federation as rows
from storage.database import Database

_log = structlog.get_logger(__name__)

MAX_QUEUED = 1000
"""A server that is slower than we are is left behind, and catches up from the database."""

REPEATED_UP_TO_MS = 10 * 60 * 1000
"""A transaction without an answer is repeated as it was if its server is back within this."""

_NEVER = 2**63


class TransactionSender(Protocol):
    """What sends transactions; the federation client does."""

    async def send_transaction(self, server: ServerName, txn_id: str, body: bytes) -> TransactionResult: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """What every delivery works with."""

    db: Database
    client: TransactionSender
    backoff: Backoff
    clock: Clock
    tasks: Tasks
    server_name: ServerName
    slots: DeferredSemaphore
    """Bounds how many transactions are under way at once."""
    next_txn_id: Callable[[], str]
    position: Callable[[], int]
    """Up to where the log has been handed to the deliveries."""


@dataclass(slots=True)
class Envelope:
    """A transaction, before its server has said that it has it."""

    events: Sequence[OutgoingEvent] = ()
    place_after: int | None = None
    """Where the server stands once it has this one; None if it keeps up."""
    txn_id: str = ""
    body: bytes = b""
    stored_edus: list[rows.StoredEdu] = field(default_factory=list)


class Delivery:
    """What one server is owed, and its sending."""

    def __init__(
        self,
        server: ServerName,
        sending: Sending,
        idle: Callable[[ServerName], None],
        *,
        place: int | None = None,
    ) -> None:
        self.server = server
        self.place = place
        self.owes_edus = False
        self._pending = Pending()
        self._sending = sending
        self._idle = idle
        self._stored_place = place
        self._unanswered: Envelope | None = None
        self._backlog: deque[Envelope] = deque()
        self._is_running = False
        self._timer: Timer | None = None

    # What it is owed.

    def add_event(self, event: OutgoingEvent) -> None:
        """The server is to have this event; events come in log order."""
        if self.place is None:
            self._pending.events.append(event)
            if len(self._pending.events) > MAX_QUEUED:
                self._fall_behind()
        self.wake()

    def add_edus(self, change: Callable[[Pending], None], *, delay_s: float = 0.0) -> None:
        """Change what the server is told of passing things; a little later, others may join them."""
        if not self._sending.backoff.wait_ms(self.server):
            change(self._pending)
            self.wake(delay_s)

    def owe_edus(self) -> None:
        """There is something for the server among the stored EDUs."""
        self.owes_edus = True
        self.wake()

    @property
    def floor(self) -> int:
        """The sender as a whole may say that it has come this far, for all that this server is concerned."""
        if self.place is not None:
            return _NEVER if self._stored_place == self.place else self.place
        first = self._first_in_memory()
        return _NEVER if first is None else first.position - 1

    @property
    def queued_events(self) -> int:
        """How many events wait in memory."""
        return len(self._pending.events) + (0 if self._unanswered is None else len(self._unanswered.events))

    # Sending it.

    def wake(self, delay_s: float = 0.0) -> None:
        """Send what is owed, now or when the server may be tried again."""
        if self._is_running:
            return
        wait_ms = self._sending.backoff.wait_ms(self.server)
        if wait_ms:
            self._fall_behind()
            if self.place != self._stored_place:
                self._sending.tasks.spawn(f"remember that {self.server} lags behind", self._store_place())
            delay_s = wait_ms / 1000
        if delay_s:
            if self._timer is None or not self._timer.active():
                self._timer = self._sending.clock.call_later(delay_s, self.wake)
            return
        self.stop_waiting()
        self._is_running = True
        self._sending.tasks.spawn(f"send to {self.server}", self._run())

    def stop_waiting(self) -> None:
        """Forget the timer that would wake this."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    async def _run(self) -> None:
        try:
            while not self._sending.backoff.wait_ms(self.server):
                envelope = await self._next()
                if envelope is None:
                    break
                await self._sending.slots.acquire()
                try:
                    delivered = await self._send(envelope)
                finally:
                    self._sending.slots.release()
                if not delivered:
                    break
        finally:
            self._is_running = False
        if self._has_work():
            self.wake()
        elif self.place is None:
            self._idle(self.server)

    async def _next(self) -> Envelope | None:
        if self._unanswered is not None:
            return self._unanswered
        if self.place is not None and not self._backlog:
            await self._catch_up()
        edus = await self._stored_edus()
        if self._backlog:
            envelope = self._backlog.popleft()
        else:
            envelope = Envelope(self._pending.take_events(MAX_PDUS))
        envelope.stored_edus = edus
        bodies = [edu.edu for edu in edus]
        bodies += self._pending.take_edus(MAX_EDUS - len(edus))
        if not envelope.events and not bodies and envelope.place_after is None:
            return None
        envelope.txn_id = self._sending.next_txn_id()
        envelope.body = encode_transaction(
            self._sending.server_name,
            self._sending.clock.now_ms(),
            pdus=[event.json for event in envelope.events],
            edus=bodies,
        )
        self._unanswered = envelope
        return envelope

    async def _stored_edus(self) -> list[rows.StoredEdu]:
        if not self.owes_edus:
            return []
        # More may be stored while we look.
        self.owes_edus = False
        edus = await self._sending.db.read(rows.next_edus, self.server, MAX_EDUS)
        if edus:
            self.owes_edus = True
        return edus

    async def _catch_up(self) -> None:
        """Find what the server has missed, until it keeps up."""
        while self.place is not None and not self._backlog:
            until = self._sending.position()
            if self.place >= until:
                # Nothing may be awaited between these two: the next event is queued again.
                self.place = None
                break
            missed = await self._sending.db.read(
                rows.missed_events,
                self.server,
                self._sending.server_name,
                after=self.place,
                until=until,
                limit=MAX_PDUS,
            )
            events = [OutgoingEvent(one.position, one.event_id, one.json) for one in missed]
            for first in range(0, len(events), MAX_PDUS):
                self._backlog.append(Envelope(events[first : first + MAX_PDUS], place_after=self.place))
            if self._backlog:
                # Only after the last of them nothing is missing.
                self._backlog[-1].place_after = until
            else:
                self.place = until
        await self._store_place()

    async def _send(self, envelope: Envelope) -> bool:
        asked_ms = self._sending.clock.now_ms()
        try:
            result = await self._sending.client.send_transaction(self.server, envelope.txn_id, envelope.body)
        except ServerDenied:
            # Nobody will ever want it again.
            self._unanswered = None
            self._backlog.clear()
            self._pending = Pending()
            self.place, self.owes_edus = None, False
            return False
        except RemoteError as error:
            retry_after_ms = error.refusal.retry_after_ms if isinstance(error, Refused) else 0
            self._sending.backoff.failed(self.server, asked_ms=asked_ms, retry_after_ms=retry_after_ms)
            _log.info("a transaction was not taken", server=self.server, reason=str(error))
            self._fall_behind()
            await self._store_place()
            return False
        for event_id, one in result.pdus.items():
            if one.error:
                _log.info(
                    "an event was refused", server=self.server, event_id=event_id, reason=one.error[:500]
                )
        self._sending.backoff.answered(self.server)
        self._unanswered = None
        if envelope.place_after is not None and self.place is not None:
            self.place = envelope.place_after
        if envelope.stored_edus:
            await self._sending.db.run(rows.edus_sent, self.server, envelope.stored_edus)
        return True

    def _fall_behind(self) -> None:
        """The server does not answer, or not as fast as things happen: it will be told from the database."""
        self._pending.forget_passing()
        self._backlog.clear()
        first = self._first_in_memory()
        unanswered = self._unanswered
        if self.place is None and first is not None:
            self.place = first.position - 1
            self._pending.events.clear()
            if unanswered is not None and unanswered.events:
                unanswered.place_after = unanswered.events[-1].position
        trouble = self._sending.backoff.find(self.server)
        if trouble is not None and trouble.interval_ms > REPEATED_UP_TO_MS:
            self._unanswered = None

    async def _store_place(self) -> None:
        if self.place != self._stored_place:
            place = self.place
            await self._sending.db.run(rows.save_destination_place, self.server, place)
            self._stored_place = place

    def _first_in_memory(self) -> OutgoingEvent | None:
        """The oldest event that the server has not confirmed, while it keeps up."""
        if self.place is None and self._unanswered is not None and self._unanswered.events:
            return self._unanswered.events[0]
        return self._pending.events[0] if self._pending.events else None

    def _has_work(self) -> bool:
        return bool(
            self._pending or self._backlog or self._unanswered or self.owes_edus or self.place is not None
        )
