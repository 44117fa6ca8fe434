"""What the sender tells besides events, and how long it waits for who does not answer."""

from __future__ import annotations

from itertools import pairwise

from federation.wire.edus import UserPresence
from homeserver.ids import EventID
from storage import federation as rows
from tests.unit.federation.conftest import US
from tests.unit.federation.sender_world import (
    ALICE,
    ROOM,
    B,
    C,
    World,
    _owe,
    make_world,
)

__all__ = ["make_world"]


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
