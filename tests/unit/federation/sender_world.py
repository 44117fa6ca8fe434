"""What the sender works in: a database, rooms with servers, and servers that answer or do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

import pytest

from config.federation import FederationClientConfig
from federation.outbound.backoff import Backoff
from federation.outbound.policy import FederationPolicy
from federation.outbound.sender import FederationSender, SendingParts
from federation.wire.transactions import PduResult, TransactionResult, encode_edu
from homeserver.errors import RemoteError
from homeserver.events.event import Event
from homeserver.events.room_versions import V10
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind, Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import federation as rows
from storage import membership as membership_rows
from storage import receipts as receipt_rows
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Slot, Transaction
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.unit.federation.conftest import US

B, C = ServerName("b.test"), ServerName("c.test")
ROOM, OTHER_ROOM = RoomID("!room:us.test"), RoomID("!other:us.test")
ALICE = UserID("@alice:us.test")


@dataclass
class Announced:
    event: Event
    flags: int


@dataclass
class Given:
    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str
    event_id: EventID
    ts: int


class Servers:
    """The other servers, as far as a sender sees them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.down: set[str] = set()
        self.loses_answers: set[str] = set()
        self.refuses: dict[str, int] = {}
        self.latency_s = 0.01
        self.under_way = 0
        self.most_under_way = 0
        self.transactions: list[tuple[str, str, dict[str, Any]]] = []

    async def send_transaction(self, server: ServerName, txn_id: str, body: bytes) -> TransactionResult:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self._clock.sleep(self.latency_s)
        self.under_way -= 1
        if server in self.down:
            raise RemoteError(f"{server} is down")
        if server in self.refuses:
            raise RemoteError("refused", status=self.refuses[server])
        self.transactions.append((server, txn_id, json.loads(body)))
        if server in self.loses_answers:
            raise RemoteError("the answer is lost")
        return TransactionResult({"$refused": PduResult("not allowed")})

    def pdus(self, server: str) -> list[str]:
        """The bodies of the messages that the server got, in order."""
        return [
            pdu["content"].get("body", pdu["type"])
            for to, _, body in self.transactions
            if to == server
            for pdu in body["pdus"]
        ]

    def edus(self, server: str, edu_type: str | None = None) -> list[dict[str, Any]]:
        return [
            edu["content"]
            for to, _, body in self.transactions
            if to == server
            for edu in body.get("edus", [])
            if edu_type in (None, edu["edu_type"])
        ]


class Rooms:
    """Who is in which room; a room may be out of memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.servers: dict[RoomID, set[ServerName]] = {ROOM: {US, B, C}, OTHER_ROOM: {US, B}}
        self.unloaded: set[RoomID] = set()

    def find(self, room_id: RoomID) -> Collection[ServerName] | None:
        return None if room_id in self.unloaded else self.servers.get(room_id, ())

    async def load(self, room_id: RoomID) -> Collection[ServerName]:
        await self._clock.sleep(0.5)
        self.unloaded.discard(room_id)
        return self.servers.get(room_id, ())


class World:
    """A server with a log, rooms and a sender that can be stopped, killed and started again."""

    def __init__(self, engine: Engine, reactor: VirtualReactor, clock: Clock, randomness: Randomness) -> None:
        from storage.worker import InlineWorker

        self.clock = clock
        self.reactor = reactor
        self.servers = Servers(clock)
        self.rooms = Rooms(clock)
        self.tasks = Tasks(clock)
        self.db: Database
        self.notifier: Notifier
        self.backoff: Backoff
        self.sender: FederationSender
        self._engine = engine
        self._randomness = randomness
        self._worker = InlineWorker(clock)
        self._number = 0
        self._starts = 0
        self._open = False

    async def start(self) -> None:
        self._starts += 1
        self.notifier = Notifier()
        self.tasks = Tasks(self.clock)
        self.db = self._engine.open(self.clock, self.notifier, self._worker)
        self._open = True
        config = FederationClientConfig()
        self.backoff = Backoff(self.db, self.clock, self._randomness, self.tasks, config)
        await self.backoff.load()
        parts = SendingParts(self.servers, self.backoff, self.clock, self.tasks, f"start{self._starts}.")
        policy = FederationPolicy(US, denied=["denied.test"])
        self.sender = FederationSender(self.db, self.notifier, self.rooms, parts, policy, server_name=US)
        await self.sender.start()

    async def kill(self) -> None:
        """The process dies: whatever it was doing and had not stored is gone."""
        self._open = False
        for call in list(self.reactor.getDelayedCalls()):
            cast(Any, call).cancel()
        self.servers.under_way = 0
        await self.db.close()

    async def stop(self) -> None:
        if self._open:
            self._open = False
            await self.sender.stop()
            await self.tasks.drain(1)
            assert self.tasks.failures == []
            await self.db.close()

    async def say(
        self, text: str, *, room: RoomID = ROOM, sender: UserID = ALICE, flags: int = 0, **fields: Any
    ) -> EventID:
        """An event is committed."""
        self._number += 1
        pdu: dict[str, Any] = {
            "type": "m.room.message",
            "room_id": room,
            "sender": sender,
            "content": {"body": text},
            "origin_server_ts": self.clock.now_ms(),
            "depth": self._number,
            "prev_events": [],
            "auth_events": [],
            "hashes": {},
            "signatures": {},
            **fields,
        }
        event = Event.from_pdu(pdu, V10)
        await self.db.run(_persist, event, self._number, flags)
        return event.event_id

    async def join(
        self, user_id: str, room: RoomID = ROOM, membership: str = "join", sender: str = ""
    ) -> None:
        content = {"membership": membership}
        who = UserID(sender or user_id)
        await self.say("", room=room, sender=who, type="m.room.member", state_key=user_id, content=content)

    async def read(self, user_id: str, event_id: EventID, **fields: Any) -> None:
        given = Given(ROOM, UserID(user_id), "m.read", "", event_id, 5)
        for name, value in fields.items():
            setattr(given, name, value)
        await self.db.run(_give, given)

    async def until(self, condition: Callable[[], bool], limit_s: float = 3600) -> None:
        """Wait for something to become true."""
        end = self.clock.seconds() + limit_s
        while not condition():
            assert self.clock.seconds() < end, "it has not happened"
            await self.clock.sleep(0.1)

    async def settle(self) -> None:
        await self.clock.sleep(2)


def _persist(txn: Transaction, event: Event, number: int, flags: int) -> None:
    slot = None
    if not flags & EventFlag.REJECTED:
        slot = txn.log(
            LogKind.EVENT,
            room_id=event.room_id,
            user_id=event.sender,
            ref=event.event_id,
            payload=Announced(event, flags),
        )
    room = txn.intern(event.room_id)
    event_rows.insert(
        txn,
        number=number,
        event_id=event.event_id,
        room=room,
        position=slot,
        depth=event.depth,
        type=event.type,
        state_key=event.state_key,
        sender=event.sender,
        origin_server_ts=event.origin_server_ts,
        flags=flags,
        seq=None,
        state_before=None,
        replaces=None,
        notify=None,
        device=None,
        txn_id=None,
        json=event.json,
    )
    if event.state_key is not None and slot is not None:
        membership_rows.save(
            txn,
            room=room,
            user_id=event.state_key,
            membership=event.content["membership"],
            event=number,
            sender=event.sender,
            position=slot,
            joined_at=slot,
            local=domain_of(event.state_key) == US,
        )


def _give(txn: Transaction, given: Given) -> None:
    slot = txn.log(
        LogKind.RECEIPT, room_id=given.room_id, user_id=given.user_id, ref=given.receipt_type, payload=given
    )
    receipt_rows.save(
        txn,
        room_id=given.room_id,
        user_id=given.user_id,
        receipt_type=given.receipt_type,
        thread_id=given.thread_id,
        event_id=given.event_id,
        event_position=1,
        ts=given.ts,
        position=slot,
    )


def _owe(
    txn: Transaction, servers: list[str], content: dict[str, Any], key: str | None = None
) -> Slot | None:
    return rows.queue_edu(txn, servers, encode_edu("m.direct_to_device", content), now_ms=5, key=key)


@pytest.fixture(name="world")
def make_world(engine: Engine, reactor: VirtualReactor, clock: Clock, randomness: Randomness) -> Any:
    made = World(engine, reactor, clock, randomness)
    reactor.drive(made.start())
    yield made
    reactor.drive(made.stop())


async def joined(world: World) -> None:
    """b.test and c.test are in the room, as the database has it."""
    await world.join("@bob:b.test")
    await world.join("@carol:c.test")
    await world.join("@bob:b.test", OTHER_ROOM)
