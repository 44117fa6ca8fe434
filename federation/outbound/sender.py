"""Tells other servers what happens here: follows the log, and hands each entry to the deliveries that it concerns.

One place is stored for the sender as a whole, behind which every server that keeps up has everything; a server that
lags behind has a place of its own. So a crash loses nothing, and what is sent twice has an ID that tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import DeferredSemaphore

from federation.outbound.backoff import Backoff
from federation.outbound.delivery import Delivery, Sending, TransactionSender
from federation.outbound.outgoing import Outgoing, OutgoingReceipt, outgoing_of, recover_outgoing
from federation.outbound.pending import Pending
from federation.outbound.policy import FederationPolicy
from federation.wire.edus import UserPresence
from homeserver.ids import RoomID, ServerName, UserID
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import federation as rows
from storage import followers, log
from storage.database import Database
from storage.transaction import Transaction

FOLLOWER = "federation sender"
MAX_TRANSACTIONS = 100
"""Transactions under way at once, to all servers together."""

COMPANY_S = 0.1
"""Receipts and presence wait this long for more of their kind."""

PLACE_EVERY_S = 5.0
_PAGE = 500


class RoomServers(Protocol):
    """Which servers are in a room."""

    def find(self, room_id: RoomID) -> Collection[ServerName] | None:
        """The servers with a joined user, if the room is in memory."""
        ...

    async def load(self, room_id: RoomID) -> Collection[ServerName]:
        """The servers with a joined user; none of a room that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """How a server stands, for an administrator to see."""

    server: ServerName
    failing_since_ms: int | None
    retry_at_ms: int | None
    retry_interval_ms: int | None
    place: int | None
    """The log position up to which it has everything; None if it keeps up."""
    last_success_ms: int | None
    queued_events: int
    owed_edus: int


class FederationSender:
    """The follower of the log that feeds the deliveries."""

    def __init__(
        self,
        db: Database,
        notifier: Notifier,
        rooms: RoomServers,
        sending: SendingParts,
        policy: FederationPolicy,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._notifier = notifier
        self._rooms = rooms
        self._policy = policy
        self._server_name = server_name
        self._clock = sending.clock
        self._tasks = sending.tasks
        self._backoff = sending.backoff
        self._txn_prefix = sending.txn_prefix
        self._txn_count = 0
        self._position = 0
        self._saved_position = 0
        self._waiting: deque[LogEntry] = deque()
        self._deliveries: dict[ServerName, Delivery] = {}
        self._place_timer: Timer | None = None
        self._is_stopped = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._sending = Sending(
            db=db,
            client=sending.client,
            backoff=sending.backoff,
            clock=sending.clock,
            tasks=sending.tasks,
            server_name=server_name,
            slots=DeferredSemaphore(MAX_TRANSACTIONS),
            next_txn_id=self._next_txn_id,
            position=lambda: self._position,
        )

    async def start(self) -> None:
        """Go on where the process left off. `Backoff.load` comes first."""
        self._backoff.on_cleared(self._on_cleared)
        # From here on everything is announced to us, and waits; what comes before it is read.
        self._waiting.append(_BEGIN)
        self._unsubscribe = self._notifier.subscribe(self._on_entries)
        until = self._notifier.position
        place, destinations, owed = await self._db.read(_load)
        if place is None:
            # The first start of all: what has happened so far has not been for others.
            place = until
            await self._db.run(followers.save_place, FOLLOWER, place)
        self._position = self._saved_position = place
        for row in destinations:
            if row.place is not None:
                server = ServerName(row.server)
                self._deliveries[server] = Delivery(server, self._sending, self._forget, place=row.place)
        for name in owed:
            self._delivery(ServerName(name)).owes_edus = True
        await self._read_up_to(until)
        for delivery in list(self._deliveries.values()):
            delivery.wake()
        self._waiting.popleft()
        await self._drain()

    async def stop(self) -> None:
        """Take no more entries and remember the place. Transactions that are under way are the tasks' to end."""
        self._unsubscribe()
        self._is_stopped = True
        if self._place_timer is not None and self._place_timer.active():
            self._place_timer.cancel()
        for delivery in self._deliveries.values():
            delivery.stop_waiting()
        await self._save_place()

    # What passes and is not in the log.

    def typing_changed(self, room_id: RoomID, user_id: UserID, *, typing: bool) -> None:
        """One of our users has begun or stopped typing."""

        def change(pending: Pending) -> None:
            pending.set_typing(room_id, user_id, typing=typing)

        for server in self._others(self._rooms.find(room_id) or ()):
            self._delivery(server).add_edus(change)

    def presence_changed(self, presence: UserPresence, servers: Collection[ServerName]) -> None:
        """One of our users is online, or no more; `servers` are those who share a room with them."""

        def change(pending: Pending) -> None:
            pending.set_presence(presence)

        for server in self._others(servers):
            self._delivery(server).add_edus(change, delay_s=COMPANY_S)

    # For administrators.

    async def list_destinations(self) -> list[DestinationStatus]:
        """Every server that we have had trouble with or owe something."""
        known, owed = await self._db.read(_status)
        by_server = {ServerName(row.server): row for row in known}
        servers = by_server.keys() | self._deliveries.keys() | {ServerName(server) for server in owed}
        return [
            self._status(server, by_server.get(server), owed.get(server, 0)) for server in sorted(servers)
        ]

    async def find_destination(self, server: ServerName) -> DestinationStatus | None:
        """How one server stands; None if there is nothing to say about it."""
        return next((one for one in await self.list_destinations() if one.server == server), None)

    def reset(self, server: ServerName) -> None:
        """Try the server now, however often it has failed."""
        self._backoff.reset(server)
        if server in self._deliveries:
            self._deliveries[server].wake()

    def _status(self, server: ServerName, row: rows.Destination | None, owed_edus: int) -> DestinationStatus:
        trouble = self._backoff.find(server)
        delivery = self._deliveries.get(server)
        return DestinationStatus(
            server=server,
            failing_since_ms=None if trouble is None else trouble.failing_since_ms,
            retry_at_ms=None if trouble is None else trouble.retry_at_ms,
            retry_interval_ms=None if trouble is None else trouble.interval_ms,
            place=None if delivery is None else delivery.place,
            last_success_ms=None if row is None else row.last_success_ms,
            queued_events=0 if delivery is None else delivery.queued_events,
            owed_edus=owed_edus,
        )

    # Following the log.

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        if self._waiting:
            self._waiting.extend(entries)
            return
        for index, entry in enumerate(entries):
            if not self._hand_over(entry):
                self._waiting.extend(entries[index:])
                self._tasks.spawn("look up the servers of rooms", self._drain())
                return
            self._position = entry.position
        self._plan_to_save()

    def _hand_over(self, entry: LogEntry) -> bool:
        """Give the entry to whom it concerns; False if the database must be asked for that."""
        kind = entry.kind
        if kind is LogKind.EVENT or kind is LogKind.RECEIPT:
            if entry.payload is None:
                return False
            outgoing = outgoing_of(entry, self._server_name)
            if outgoing is None:
                return True
            servers = self._rooms.find(outgoing.room_id)
            if servers is None:
                return False
            self._deliver(outgoing, servers)
        elif kind is LogKind.FEDERATION_EDU:
            if entry.payload is None:
                return False
            self._owe(entry.payload)
        return True

    async def _drain(self) -> None:
        """Hand over what needed a look-up, and everything that came after it."""
        while self._waiting:
            entry = self._waiting[0]
            if not self._hand_over(entry):
                await self._look_up([entry])
            self._position = entry.position
            self._waiting.popleft()
        self._plan_to_save()

    async def _read_up_to(self, until: int) -> None:
        while self._position < until:
            entries = await self._db.read(log.entries_after, self._position, _PAGE)
            entries = [entry for entry in entries if entry.position <= until]
            if not entries:
                self._position = until
                return
            await self._look_up(entries)
            self._position = entries[-1].position

    async def _look_up(self, entries: Sequence[LogEntry]) -> None:
        """Hand over entries with the database's help."""
        found = await self._db.read(recover_outgoing, entries, self._server_name)
        for outgoing in found:
            servers = self._rooms.find(outgoing.room_id)
            self._deliver(outgoing, await self._rooms.load(outgoing.room_id) if servers is None else servers)
        if any(entry.kind is LogKind.FEDERATION_EDU for entry in entries):
            self._owe(await self._db.read(rows.servers_owed_edus))

    def _deliver(self, outgoing: Outgoing, servers: Collection[ServerName]) -> None:
        if isinstance(outgoing, OutgoingReceipt):
            for server in self._others(servers):
                self._delivery(server).add_edus(outgoing.add_to, delay_s=COMPANY_S)
            return
        concerned = set(servers)
        if outgoing.removed_from is not None:
            concerned.add(outgoing.removed_from)
        if outgoing.came_from is not None:
            concerned.discard(outgoing.came_from)
        for server in self._others(concerned):
            self._delivery(server).add_event(outgoing.event)

    def _owe(self, servers: Iterable[str]) -> None:
        for server in self._others(ServerName(server) for server in servers):
            self._delivery(server).owe_edus()

    def _others(self, servers: Iterable[ServerName]) -> list[ServerName]:
        return [server for server in servers if self._policy.permits(server)]

    def _delivery(self, server: ServerName) -> Delivery:
        delivery = self._deliveries.get(server)
        if delivery is None:
            delivery = self._deliveries[server] = Delivery(server, self._sending, self._forget)
        return delivery

    def _forget(self, server: ServerName) -> None:
        """A delivery that keeps up and has nothing to do needs no memory."""
        self._deliveries.pop(server, None)

    def _on_cleared(self, server: ServerName) -> None:
        if server in self._deliveries:
            self._deliveries[server].wake()

    def _next_txn_id(self) -> str:
        self._txn_count += 1
        return f"{self._txn_prefix}{self._txn_count}"

    # The place.

    def _plan_to_save(self) -> None:
        if self._is_stopped:
            return
        if self._place_timer is None or not self._place_timer.active():
            self._place_timer = self._clock.call_later(PLACE_EVERY_S, self._save_in_time)

    def _save_in_time(self) -> None:
        self._tasks.spawn("save the federation sender's place", self._save_place())

    async def _save_place(self) -> None:
        place = min((delivery.floor for delivery in self._deliveries.values()), default=self._position)
        place = min(place, self._position)
        if place > self._saved_position:
            self._saved_position = place
            await self._db.run(followers.save_place, FOLLOWER, place)
        if place < self._position:
            self._plan_to_save()


@dataclass(frozen=True, slots=True)
class SendingParts:
    """What sending needs beside the log. `txn_prefix` differs with every start of the process."""

    client: TransactionSender
    backoff: Backoff
    clock: Clock
    tasks: Tasks
    txn_prefix: str


_BEGIN = LogEntry(0, LogKind.SESSION, None, None, "")
"""Keeps announced entries waiting while those before them are read."""


def _load(txn: Transaction) -> tuple[int | None, list[rows.Destination], dict[str, int]]:
    place = txn.value("SELECT position FROM followers WHERE name = ?", FOLLOWER)
    return place, rows.list_destinations(txn), rows.servers_owed_edus(txn)


def _status(txn: Transaction) -> tuple[list[rows.Destination], dict[str, int]]:
    return rows.list_destinations(txn), rows.servers_owed_edus(txn)
