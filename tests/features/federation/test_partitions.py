"""Servers that could not reach one another, and what they agree on afterwards."""

from __future__ import annotations

import pytest

from tests.harness.network import Network
from tests.harness.server import Server
from tests.harness.user import User

VERSIONS = ["1", "6", "10", "11", "12"]


def current_state(server: Server, room: str) -> dict[tuple[str, str], str]:
    """The current state of a room as a server has it, by event ID."""
    live = server.homeserver.services.rooms.rooms.find(room)
    assert live is not None
    return {key: event.event_id for key, event in live.state.items()}


async def two_in_a_room(alice: User, bob: User, version: str) -> str:
    levels = {"users": {alice.user_id: 100, bob.user_id: 50}}
    if version == "12":
        levels = {"users": {bob.user_id: 50}}
    room = await alice.creates_room(public=True, version=version, power_level_content_override=levels)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    return room


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_said_on_both_sides_is_there_on_both(
    one: Server, two: Server, alice: User, bob: User, network: Network, version: str
) -> None:
    room = await two_in_a_room(alice, bob, version)
    network.cut("one.test", "two.test")
    for number in range(3):
        await alice.says(room, f"alice {number}")
        await bob.says(room, f"bob {number}")
    await alice.sets(room, "m.room.topic", {"topic": "alice's"})
    await bob.sets(room, "m.room.topic", {"topic": "bob's"})
    await bob.sets(room, "m.room.name", {"name": "bob's"})
    await one.passes(60)
    network.heal()
    await one.passes(600)
    await alice.says(room, "and now?")
    await bob.sees(room, "alice 0", "alice 1", "alice 2", "and now?")
    await bob.says(room, "there you are")
    await alice.sees(room, "bob 0", "bob 1", "bob 2", "there you are")
    await one.passes(5)
    assert current_state(one, room) == current_state(two, room)


@pytest.mark.parametrize("version", VERSIONS)
async def test_long_silence_is_filled(
    one: Server, two: Server, alice: User, bob: User, network: Network, version: str
) -> None:
    room = await two_in_a_room(alice, bob, version)
    network.cut("one.test", "two.test")
    for number in range(70):
        await alice.says(room, f"alice {number}")
    await one.passes(60)
    network.heal()
    await one.passes(3600)
    await alice.says(room, "the end")
    await bob.sees(room, "the end", within_ms=60_000)
    page = await bob.messages(room, limit=100)
    bodies = [event["content"].get("body") for event in page["chunk"]]
    assert all(f"alice {number}" in bodies for number in range(70))
    assert current_state(one, room) == current_state(two, room)


async def test_a_ban_on_one_side_ends_what_the_banned_did_on_the_other(
    one: Server, two: Server, alice: User, bob: User, network: Network
) -> None:
    room = await two_in_a_room(alice, bob, "11")
    await bob.sees(room, membership="join")
    network.cut("one.test", "two.test")
    await alice.bans(room, bob)
    await bob.sets(room, "m.room.name", {"name": "bob's"})
    await one.passes(60)
    network.heal()
    await one.passes(600)
    await alice.says(room, "anybody?")
    await bob.sees(room, membership="leave", within_ms=60_000)
    live = one.homeserver.services.rooms.rooms.find(room)
    assert live is not None
    assert live.membership(bob.user_id) == "ban"


async def test_a_server_that_was_down_catches_up(
    one: Server, two: Server, alice: User, bob: User, network: Network
) -> None:
    room = await two_in_a_room(alice, bob, "12")
    await bob.syncs()
    network.unplug("two.test")
    await two.stops()
    for number in range(10):
        await alice.says(room, f"alice {number}")
    await one.passes(30)
    await two.starts()
    network.plug_in("two.test", two)
    await one.passes(600)
    await alice.says(room, "the end")
    await bob.sees(room, "alice 0", "alice 9", "the end")


@pytest.mark.parametrize("version", ["1", "10", "12"])
async def test_who_comes_back_before_their_leave_is_known_stays_inside(
    one: Server, two: Server, alice: User, bob: User, network: Network, version: str
) -> None:
    room = await two_in_a_room(alice, bob, version)
    network.cut("one.test", "two.test")
    await bob.sets(room, "m.room.topic", {"topic": "bob's"})
    await bob.leaves(room)
    network.mend("one.test", "two.test")
    await bob.joins(room, via=["one.test"])
    await one.passes(3600)
    await alice.says(room, "welcome back")
    await bob.sees(room, "welcome back")
    await bob.says(room, "I was never away")
    await alice.sees(room, "I was never away")
    assert current_state(one, room) == current_state(two, room)
    assert (await alice.state(room, "m.room.topic"))["topic"] == "bob's"
