"""Telephones are told of what their owners are notified of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.gateway import PushGateway, sets_pusher
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.unit.http.outside import Outside


async def a_room(alice: User, bob: User) -> str:
    """A room with both, of whose beginnings nobody is told."""
    room = await alice.creates_room(inviting=bob, name="Tea")
    await bob.joins(room)
    return room


async def test_a_message_reaches_the_telephone(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    await alice.sets_profile("displayname", "Alice")
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    event = await alice.says(room, "hello")
    await server.passes(1)
    (told,) = gateway.told
    (device,) = told.pop("devices")
    assert told == {
        "event_id": event,
        "room_id": room,
        "room_name": "Tea",
        "type": "m.room.message",
        "sender": alice.user_id,
        "sender_display_name": "Alice",
        "content": {"msgtype": "m.text", "body": "hello"},
        "prio": "high",
        "counts": {"unread": 1},
    }
    assert device["app_id"] == "im.example"
    assert device["pushkey"] == "telephone"
    assert device["data"] == {"brand": "x"}
    assert device["tweaks"] == {"sound": "default"}
    await bob.says(room, "my own words")
    await server.passes(1)
    assert gateway.bodies == ["hello"]


async def test_only_the_id_goes_out_if_that_is_wanted(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    await sets_pusher(bob, data={"url": "http://push.test/_matrix/push/v1/notify", "format": "event_id_only"})
    event = await alice.says(room, "secret")
    await server.passes(1)
    (told,) = gateway.told
    assert told["event_id"] == event
    assert told["room_id"] == room
    assert not {"content", "sender", "type", "room_name", "sender_display_name"} & told.keys()


async def test_the_badge_follows_what_is_read(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room, other = await a_room(alice, bob), await a_room(alice, bob)
    await sets_pusher(bob)
    await alice.says(room, "one")
    await server.passes(1)
    await alice.says(other, "two")
    await server.passes(1)
    last = await alice.says(other, "three")
    await server.passes(1)
    assert gateway.badges == [1, 2, 2]
    await bob.reads(other, last)
    await server.passes(1)
    assert gateway.badges == [1, 2, 2, 1]
    assert "event_id" not in gateway.told[-1]
    await alice.creates_room(inviting=bob)
    await server.passes(1)
    assert gateway.badges[-1] == 2
    assert gateway.told[-1]["user_is_target"] is True


async def test_a_gateway_that_fails_hears_of_everything_later(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    gateway.fails = 2
    await alice.says(room, "one")
    await alice.says(room, "two")
    await server.passes(15)
    assert gateway.bodies == []
    await server.passes(60)
    assert gateway.bodies == ["one", "two"]


async def test_what_could_not_be_told_is_told_after_a_restart(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    gateway.fails = 10**6
    await alice.says(room, "one")
    await server.passes(20)
    read = await alice.says(room, "two")
    await bob.reads(room, read)
    await alice.says(room, "three")
    await server.restarts()
    gateway.fails = 0
    await server.passes(60)
    assert gateway.bodies == ["three"]
    await server.restarts()
    await server.passes(60)
    assert gateway.bodies == ["three"]


async def test_a_rejected_pusher_is_gone(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    gateway.rejects = ["telephone"]
    await alice.says(room, "one")
    await server.passes(1)
    assert (await bob.request("GET", "/pushers"))["pushers"] == []
    await alice.says(room, "two")
    await server.passes(1)
    assert gateway.bodies == ["one"]


async def test_a_pusher_can_be_switched_off(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    unstable: dict[str, Any] = {"org.matrix.msc3881.enabled": False}
    await sets_pusher(bob, **unstable)
    await alice.says(room, "quiet")
    await server.passes(1)
    (pusher,) = (await bob.request("GET", "/pushers"))["pushers"]
    assert pusher["org.matrix.msc3881.enabled"] is False
    assert pusher["org.matrix.msc3881.device_id"] == bob.device_id
    await sets_pusher(bob, enabled=True)
    await alice.says(room, "loud")
    await server.passes(1)
    assert gateway.bodies == ["loud"]
    await sets_pusher(bob, kind=None)
    await alice.says(room, "nobody hears")
    await server.passes(1)
    assert gateway.bodies == ["loud"]


async def test_a_pusher_ends_with_its_session(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    other = await server.logs_in(bob)
    await sets_pusher(bob)
    await sets_pusher(other, "tablet")
    await bob.logs_out()
    await alice.says(room, "hello")
    await server.passes(1)
    assert [one["devices"][0]["pushkey"] for one in gateway.told] == ["tablet"]
    assert [one["pushkey"] for one in (await other.request("GET", "/pushers"))["pushers"]] == ["tablet"]


async def test_a_telephone_that_changes_hands_tells_its_new_owner_only(
    server: Server, gateway: PushGateway, alice: User, bob: User, carol: User
) -> None:
    room = await alice.creates_room(inviting=[bob, carol])
    await bob.joins(room)
    await carol.joins(room)
    await sets_pusher(bob)
    await sets_pusher(carol, append=True)
    await alice.says(room, "to both")
    await server.passes(1)
    assert len(gateway.told) == 2
    await sets_pusher(carol)
    await alice.says(room, "to one")
    await server.passes(1)
    assert len(gateway.told) == 3
    assert (await bob.request("GET", "/pushers"))["pushers"] == []


async def test_nobody_is_told_of_those_they_ignore(
    server: Server, gateway: PushGateway, alice: User, bob: User
) -> None:
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    await bob.keeps("m.ignored_user_list", {"ignored_users": {alice.user_id: {}}})
    await alice.says(room, "hello")
    await server.passes(1)
    assert gateway.told == []


async def test_a_gateway_that_hangs_delays_only_its_own(
    server: Server, gateway: PushGateway, outside: Outside, alice: User, bob: User
) -> None:
    outside.names["hangs.test"] = ["203.1.113.66"]
    outside.silent.add("203.1.113.66")
    room = await a_room(alice, bob)
    await sets_pusher(bob, "stuck", data={"url": "http://hangs.test/_matrix/push/v1/notify"})
    await sets_pusher(bob)
    await alice.says(room, "one")
    await alice.says(room, "two")
    await server.passes(1)
    assert gateway.bodies == ["one", "two"]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"]
)
async def test_nobody_is_led_inside(
    server: Server, gateway: PushGateway, outside: Outside, alice: User, bob: User, address: str
) -> None:
    gateway.listens(server.clock, outside, address=address)
    room = await a_room(alice, bob)
    await sets_pusher(bob)
    await alice.says(room, "hello")
    await server.passes(30)
    assert gateway.told == []
    assert outside.connected == []


async def test_pushers_that_cannot_be(alice: User) -> None:
    for data in ({}, {"url": "ftp://push.test/_matrix/push/v1/notify"}, {"url": "http://push.test/other"}):
        with refused("M_INVALID_PARAM", 400):
            await sets_pusher(alice, data=data)
    with refused("M_INVALID_PARAM", 400):
        await sets_pusher(alice, kind="pigeon")
    with refused("M_INVALID_PARAM", 400):
        await sets_pusher(alice, "k" * 513)
    with refused("M_INVALID_PARAM", 400):
        await sets_pusher(alice, app_id="a" * 65)
    with refused("M_MISSING_PARAM", 400):
        await sets_pusher(alice, lang=None)


async def test_what_has_notified(server: Server, alice: User, bob: User) -> None:
    room = await a_room(alice, bob)
    first = await alice.says(room, "one")
    await bob.reads(room, first)
    mentions = {"user_ids": [bob.user_id]}
    await alice.says(room, "two", **{"m.mentions": mentions})
    await bob.says(room, "mine")
    page = await bob.request("GET", "/notifications", query={"limit": 1})
    (newest,) = page["notifications"]
    assert newest["event"]["content"]["body"] == "two"
    assert newest["read"] is False
    assert {"set_tweak": "highlight"} in newest["actions"]
    rest = await bob.request("GET", "/notifications", query={"from": page["next_token"]})
    older = rest["notifications"][0]
    assert older["event"]["content"]["body"] == "one"
    assert older["read"] is True
    assert "next_token" not in rest
    only = await bob.request("GET", "/notifications", query={"only": "highlight"})
    assert [each["event"]["content"].get("body") for each in only["notifications"]] == ["two"]
    with refused("M_INVALID_PARAM", 400):
        await bob.request("GET", "/notifications", query={"from": "x"})
