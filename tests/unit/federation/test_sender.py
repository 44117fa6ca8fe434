"""The sender: nothing is lost, nothing comes twice without an ID, and nobody waits for anybody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import pytest

from config.federation import FederationClientConfig
from federation.outbound.backoff import Backoff
from federation.outbound.delivery import MAX_QUEUED
from federation.outbound.policy import FederationPolicy
from federation.outbound.sender import FederationSender, SendingParts
from federation.wire.edus import UserPresence
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


@pytest.fixture
def world(engine: Engine, reactor: VirtualReactor, clock: Clock, randomness: Randomness) -> Any:
    made = World(engine, reactor, clock, randomness)
    reactor.drive(made.start())
    yield made
    reactor.drive(made.stop())


async def joined(world: World) -> None:
    """b.test and c.test are in the room, as the database has it."""
    await world.join("@bob:b.test")
    await world.join("@carol:c.test")
    await world.join("@bob:b.test", OTHER_ROOM)


async def test_events_go_to_the_servers_of_their_room(world: World) -> None:
    await world.say("one")
    await world.say("two", room=OTHER_ROOM)
    await world.settle()
    assert world.servers.pdus(B) == ["one", "two"]
    assert world.servers.pdus(C) == ["one"]
    assert world.servers.pdus(US) == []


async def test_events_of_others_are_theirs_to_tell(world: World) -> None:
    await world.say("theirs", sender=UserID("@bob:b.test"))
    await world.say("hidden", flags=EventFlag.SOFT_FAILED)
    await world.say("rejected", flags=EventFlag.REJECTED)
    await world.say("by way of us", sender=UserID("@bob:b.test"), flags=EventFlag.RELAYED)
    await world.settle()
    assert world.servers.pdus(B) == []
    assert world.servers.pdus(C) == ["by way of us"]


async def test_who_is_thrown_out_is_told(world: World) -> None:
    world.rooms.servers[ROOM] = {US, C}
    await world.join("@bob:b.test", membership="leave", sender=ALICE)
    await world.say("later")
    await world.settle()
    assert world.servers.pdus(B) == ["m.room.member"]
    assert world.servers.pdus(C) == ["m.room.member", "later"]


async def test_rooms_out_of_memory_keep_the_order(world: World) -> None:
    world.rooms.unloaded.add(ROOM)
    await world.say("one")
    await world.say("two", room=OTHER_ROOM)
    await world.say("three")
    await world.settle()
    assert world.servers.pdus(B) == ["one", "two", "three"]


async def test_transactions_have_at_most_50_events_and_follow_each_other(world: World) -> None:
    world.rooms.servers[ROOM] = {US, B}
    world.servers.latency_s = 1
    for n in range(120):
        await world.say(str(n))
    await world.until(lambda: len(world.servers.pdus(B)) == 120)
    assert world.servers.pdus(B) == [str(n) for n in range(120)]
    sizes = [len(body["pdus"]) for _, _, body in world.servers.transactions]
    assert max(sizes) == 50
    assert world.servers.most_under_way == 1
    assert len({txn_id for _, txn_id, _ in world.servers.transactions}) == len(sizes)


async def test_one_slow_server_delays_nobody(world: World) -> None:
    world.servers.down.add(B)
    await world.say("one")
    await world.settle()
    await world.say("two")
    await world.settle()
    assert world.servers.pdus(C) == ["one", "two"]


async def test_an_unanswered_transaction_is_repeated_as_it_was(world: World) -> None:
    await joined(world)
    await world.settle()
    world.servers.transactions.clear()
    world.servers.loses_answers.add(B)
    await world.say("one")
    await world.settle()
    world.servers.loses_answers.clear()
    await world.say("two")
    await world.until(lambda: "two" in world.servers.pdus(B))
    repeated = [(txn_id, body) for to, txn_id, body in world.servers.transactions if to == B]
    assert repeated[0] == repeated[1]
    assert world.servers.pdus(B) == ["one", "one", "two"]


async def test_a_server_that_was_away_gets_everything_if_it_is_little(world: World) -> None:
    await joined(world)
    await world.settle()
    world.servers.down.add(B)
    for n in range(20):
        await world.say(str(n), room=ROOM if n % 2 else OTHER_ROOM)
    await world.settle()
    world.servers.down.clear()
    await world.until(lambda: "19" in world.servers.pdus(B))
    await world.settle()
    got = world.servers.pdus(B)
    assert sorted(set(got) - {"m.room.member"}, key=int) == [str(n) for n in range(20)]
    await world.say("live")
    await world.settle()
    assert world.servers.pdus(B)[-1] == "live"
    (status,) = [one for one in await world.sender.list_destinations() if one.server == B]
    assert (status.place, status.failing_since_ms) == (None, None)
    assert status.last_success_ms is not None


async def test_a_server_that_was_away_long_gets_the_newest_of_each_room(world: World) -> None:
    await joined(world)
    await world.settle()
    world.servers.down.add(B)
    await world.say("other", room=OTHER_ROOM)
    for n in range(100):
        await world.say(str(n))
    # Longer than what a transaction is repeated for.
    await world.clock.sleep(3600)
    world.servers.down.clear()
    world.servers.transactions.clear()
    world.backoff.heard_from(B)
    await world.settle()
    assert world.servers.pdus(B) == ["other", "99"]


async def test_an_inbound_request_ends_the_wait(world: World) -> None:
    await joined(world)
    await world.settle()
    world.servers.down.add(B)
    await world.say("one")
    await world.clock.sleep(100)
    world.servers.down.clear()
    world.backoff.heard_from(B)
    await world.settle()
    assert world.servers.pdus(B).count("one") == 1


async def test_an_administrator_may_reset_a_server(world: World) -> None:
    await joined(world)
    await world.settle()
    world.servers.down.add(B)
    await world.say("one")
    await world.clock.sleep(100)
    status = await world.sender.find_destination(B)
    assert status is not None
    assert status.place is not None
    assert status.failing_since_ms is not None
    assert status.retry_at_ms is not None
    assert status.retry_at_ms > world.clock.now_ms()
    world.servers.down.clear()
    world.sender.reset(B)
    await world.settle()
    assert world.servers.pdus(B).count("one") == 1
    assert await world.sender.find_destination(ServerName("unheard-of.test")) is None


async def test_a_server_that_is_too_slow_is_left_behind_and_catches_up(world: World) -> None:
    await joined(world)
    world.rooms.servers[ROOM] = {US, B}
    await world.settle()
    world.servers.latency_s = 30
    for n in range(MAX_QUEUED + 60):
        await world.say(str(n))
    world.servers.latency_s = 0.01
    await world.until(lambda: str(MAX_QUEUED + 59) in world.servers.pdus(B))
    await world.say("live")
    await world.settle()
    assert world.servers.pdus(B)[-1] == "live"


async def test_denied_servers_are_told_nothing(world: World) -> None:
    world.rooms.servers[ROOM] = {US, ServerName("denied.test")}
    await world.say("one")
    await world.settle()
    assert world.servers.transactions == []
    assert await world.sender.list_destinations() == []


class TestRestart:
    async def test_a_crash_loses_no_event(self, world: World) -> None:
        await joined(world)
        await world.say("one")
        await world.settle()
        world.servers.latency_s = 5
        await world.say("two")
        await world.say("three", room=OTHER_ROOM)
        await world.kill()
        world.servers.latency_s = 0.01
        await world.start()
        await world.settle()
        for text in ("one", "two"):
            assert text in world.servers.pdus(B)
            assert text in world.servers.pdus(C)
        assert "three" in world.servers.pdus(B)

    async def test_a_clean_stop_repeats_nothing(self, world: World) -> None:
        await joined(world)
        await world.say("one")
        await world.settle()
        await world.stop()
        world.servers.transactions.clear()
        await world.start()
        await world.say("two")
        await world.settle()
        assert world.servers.pdus(B) == ["two"]

    async def test_a_server_that_lags_behind_still_does_after_a_restart(self, world: World) -> None:
        await joined(world)
        await world.settle()
        world.servers.down.add(B)
        await world.say("one")
        await world.clock.sleep(60)
        await world.kill()
        await world.start()
        (status,) = [one for one in await world.sender.list_destinations() if one.server == B]
        assert status.failing_since_ms is not None
        assert status.place is not None
        world.servers.down.clear()
        await world.until(lambda: "one" in world.servers.pdus(B))

    async def test_a_crash_in_the_middle_of_catching_up(self, world: World) -> None:
        await joined(world)
        await world.settle()
        world.servers.down.add(B)
        await world.say("one")
        await world.clock.sleep(60)
        world.servers.down.clear()
        world.servers.latency_s = 10
        world.backoff.heard_from(B)
        await world.clock.sleep(5)
        await world.kill()
        world.servers.latency_s = 0.01
        await world.start()
        await world.until(lambda: "one" in world.servers.pdus(B))

    async def test_receipts_survive(self, world: World) -> None:
        event_id = await world.say("one")
        await world.settle()
        await world.read(ALICE, event_id)
        await world.kill()
        await world.start()
        await world.settle()
        assert [list(content) for content in world.servers.edus(B, "m.receipt")] == [[ROOM]]

    async def test_what_happened_before_the_first_start_is_not_told(
        self, engine: Engine, reactor: VirtualReactor, clock: Clock, randomness: Randomness, world: World
    ) -> None:
        await world.stop()
        await world.start()
        await world.db.run(_forget_follower)
        await world.sender.stop()
        await world.say("before")
        await world.db.run(_forget_follower)
        await world.kill()
        await world.start()
        await world.say("after")
        await world.settle()
        assert world.servers.pdus(B) == ["after"]


def _forget_follower(txn: Transaction) -> None:
    txn.execute("DELETE FROM followers")


class TestEdus:
    async def test_typing(self, world: World) -> None:
        world.sender.typing_changed(ROOM, ALICE, typing=True)
        await world.settle()
        expected = {"room_id": ROOM, "user_id": ALICE, "typing": True}
        assert world.servers.edus(B) == world.servers.edus(C) == [expected]

    async def test_receipts_are_joined(self, world: World) -> None:
        event_id = await world.say("one")
        await world.settle()
        await world.read(ALICE, event_id)
        await world.read("@anna:us.test", event_id)
        await world.read("@anna:us.test", EventID("$later"))
        await world.read("@anna:us.test", event_id, thread_id="main")
        await world.read("@bob:b.test", event_id)
        await world.read(ALICE, event_id, receipt_type="m.read.private")
        await world.settle()
        assert world.servers.edus(C, "m.receipt") == [
            {
                ROOM: {
                    "m.read": {
                        ALICE: {"event_ids": [event_id], "data": {"ts": 5}},
                        "@anna:us.test": {"event_ids": ["$later"], "data": {"ts": 5}},
                    }
                }
            },
            {
                ROOM: {
                    "m.read": {
                        "@anna:us.test": {"event_ids": [event_id], "data": {"ts": 5, "thread_id": "main"}}
                    }
                }
            },
        ]
        assert len(world.servers.transactions) == 4

    async def test_presence(self, world: World) -> None:
        for presence in ("online", "unavailable"):
            world.sender.presence_changed(UserPresence(ALICE, presence, last_active_ago=5), [B, US])
        world.sender.presence_changed(UserPresence("@anna:us.test", "online", status_msg="hi"), [B])
        await world.settle()
        assert world.servers.edus(B) == [
            {
                "push": [
                    {
                        "user_id": ALICE,
                        "presence": "unavailable",
                        "last_active_ago": 5,
                        "currently_active": False,
                    },
                    {
                        "user_id": "@anna:us.test",
                        "presence": "online",
                        "status_msg": "hi",
                        "currently_active": False,
                    },
                ]
            }
        ]

    async def test_passing_things_are_not_told_to_who_is_away(self, world: World) -> None:
        world.servers.down.add(B)
        await world.say("one")
        await world.settle()
        world.sender.typing_changed(ROOM, ALICE, typing=True)
        world.servers.down.clear()
        await world.until(lambda: "one" in world.servers.pdus(B))
        await world.settle()
        assert world.servers.edus(B) == []

    async def test_messages_to_devices_arrive_in_order_and_once(self, world: World) -> None:
        for n in range(250):
            await world.db.run(_owe, [B, C, US], {"n": n})
        await world.settle()
        for server in (B, C):
            assert [content["n"] for content in world.servers.edus(server)] == list(range(250))
            sizes = [len(body.get("edus", [])) for to, _, body in world.servers.transactions if to == server]
            assert max(sizes) <= 100
        assert await world.db.read(rows.servers_owed_edus) == {US: 250}

    async def test_messages_to_devices_survive(self, world: World) -> None:
        world.servers.down.add(B)
        await world.db.run(_owe, [B], {"n": 1})
        await world.settle()
        (status,) = [one for one in await world.sender.list_destinations() if one.server == B]
        assert status.owed_edus == 1
        await world.kill()
        world.servers.down.clear()
        await world.start()
        await world.db.run(_owe, [B], {"n": 2})
        await world.until(lambda: len(world.servers.edus(B)) == 2)
        assert [content["n"] for content in world.servers.edus(B)] == [1, 2]

    async def test_only_the_newest_of_a_key_is_owed(self, world: World) -> None:
        world.servers.down.add(B)
        await world.db.run(_owe, [B], {"n": 0})
        await world.settle()
        for n in range(1, 4):
            await world.db.run(_owe, [B], {"n": n}, "device one")
        await world.db.run(_owe, [B], {"n": 4}, "device two")
        world.servers.down.clear()
        world.backoff.heard_from(B)
        await world.settle()
        assert [content["n"] for content in world.servers.edus(B)] == [0, 3, 4]

    async def test_old_messages_are_given_up(self, world: World) -> None:
        world.servers.down.add(B)
        await world.db.run(_owe, [B], {"n": 0})
        await world.settle()
        assert await world.db.run(rows.forget_edus, 6) == 1
        assert await world.db.read(rows.servers_owed_edus) == {}


async def test_received_transactions_and_messages_are_remembered(world: World) -> None:
    assert await world.db.read(rows.find_answer, B, "t1") is None
    await world.db.run(rows.save_answer, B, "t1", b"{}", now_ms=10)
    assert await world.db.read(rows.find_answer, B, "t1") == b"{}"
    assert await world.db.read(rows.find_answer, C, "t1") is None
    assert await world.db.run(rows.is_new_edu, B, "m1", now_ms=10)
    assert not await world.db.run(rows.is_new_edu, B, "m1", now_ms=10)
    assert await world.db.run(rows.is_new_edu, C, "m1", now_ms=10)
    await world.db.run(rows.forget_received, 11)
    assert await world.db.read(rows.find_answer, B, "t1") is None
    assert await world.db.run(rows.is_new_edu, B, "m1", now_ms=20)


class TestBackoff:
    async def test_the_wait_grows_and_survives(self, world: World) -> None:
        waits = []
        for _ in range(20):
            world.backoff.failed(B, asked_ms=world.clock.now_ms())
            waits.append(world.backoff.wait_ms(B))
            await world.clock.sleep(world.backoff.wait_ms(B) / 1000)
            if len(waits) == 8:
                break
        assert waits[0] < 13_000
        assert all(later > earlier for earlier, later in pairwise(waits))
        world.backoff.failed(B, asked_ms=world.clock.now_ms())
        await world.settle()
        wait_ms = world.backoff.wait_ms(B)
        await world.stop()
        await world.start()
        assert world.backoff.wait_ms(B) == wait_ms
        world.backoff.answered(B)
        await world.settle()
        await world.stop()
        await world.start()
        assert world.backoff.wait_ms(B) == 0

    async def test_failures_of_one_moment_count_once(self, world: World) -> None:
        for _ in range(10):
            world.backoff.failed(B, asked_ms=world.clock.now_ms())
        assert world.backoff.wait_ms(B) < 13_000

    async def test_a_server_may_ask_for_more_patience(self, world: World) -> None:
        world.backoff.failed(B, asked_ms=world.clock.now_ms(), retry_after_ms=500_000)
        assert world.backoff.wait_ms(B) == 500_000
