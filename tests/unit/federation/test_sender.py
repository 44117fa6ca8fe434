"""The sender: nothing is lost, nothing comes twice without an ID, and nobody waits for anybody else."""

from __future__ import annotations

from federation.outbound.delivery import MAX_QUEUED
from homeserver.ids import ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage.events import EventFlag
from storage.transaction import Transaction
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.unit.federation.conftest import US
from tests.unit.federation.sender_world import (
    ALICE,
    OTHER_ROOM,
    ROOM,
    B,
    C,
    World,
    joined,
    make_world,
)

__all__ = ["make_world"]


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
