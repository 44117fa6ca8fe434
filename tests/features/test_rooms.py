"""Making rooms and being in them."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

VERSIONS = [str(number) for number in range(1, 13)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_two_people_meet_and_talk(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea", version=version)
    await bob.sees(room, membership="invite", state={"m.room.name": {"name": "Tea"}})
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})
    hello = await alice.says(room, "hello")
    await bob.sees(room, "hello", event=hello, unread=1)
    await bob.says(room, "hello yourself")
    await alice.sees(room, "hello", "hello yourself")


async def test_rooms_made_in_the_same_instant_are_different_rooms(alice: User) -> None:
    # The ID of a room is the hash of its create event: same creator, same moment, same content.
    making = [Deferred.fromCoroutine(alice.creates_room()) for _ in range(5)]
    rooms = await gatherResults(making)
    assert len(set(rooms)) == 5
    for number, room in enumerate(rooms):
        await alice.says(room, f"this is {number}")
        await alice.sees(room, f"this is {number}")


async def test_the_uninvited_stay_outside(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "let me in")
    with refused("M_FORBIDDEN", 403):
        await bob.messages(room)


async def test_typing_is_seen_and_ends(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.types_in(room)
    await alice.sees(room, typing=[bob])
    await bob.stops_typing_in(room)
    await alice.sees(room, typing=[])
    await bob.types_in(room, timeout_ms=5_000)
    await alice.sees(room, typing=[bob])
    await server.passes(6)
    await alice.sees(room, typing=[])


async def test_receipts_are_seen_and_end_what_is_unread(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    said = await alice.says(room, "hello")
    await bob.sees(room, "hello", unread=1)
    await bob.reads(room, said)
    await bob.sees(room, unread=0)
    await alice.sees(room, read={bob: said})


async def test_everything_is_there_after_a_restart(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, topic="cakes")
    await bob.joins(room)
    await alice.says(room, "before")
    await bob.sees(room, "before")
    await server.restarts()
    await alice.says(room, "after")
    await bob.sees(room, "before", "after", state={"m.room.topic": (await alice.state(room, "m.room.topic"))})
    newcomer = await server.logs_in(bob)
    await newcomer.sees(room, "before", "after", member={alice: "join", bob: "join"})
