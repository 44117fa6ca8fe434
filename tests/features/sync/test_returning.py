"""Leaving a room and coming back between two looks: nothing is told twice, and nothing that was not theirs."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from tests.harness.client_state import ClientState
from tests.harness.user import User


async def test_nothing_is_told_twice(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await alice.says(room, "before")
    await bob.syncs()
    await bob.leaves(room)
    await alice.says(room, "meanwhile")
    await bob.joins(room)
    await alice.says(room, "after")
    section = (await bob.syncs())["rooms"]["join"][room]
    events = section["timeline"]["events"]
    assert section["timeline"]["limited"] is False
    assert [event["content"].get("body", event["content"].get("membership")) for event in events] == [
        "leave",
        "meanwhile",
        "join",
        "after",
    ]


async def test_what_happened_meanwhile_may_be_hidden_but_the_state_is_not(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await alice.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
    await bob.joins(room)
    await bob.syncs()
    await bob.leaves(room)
    await alice.says(room, "a secret")
    await alice.sets(room, "m.room.topic", {"topic": "tea"})
    await bob.joins(room)
    section = (await bob.syncs())["rooms"]["join"][room]
    assert "a secret" not in str(section)
    assert bob.room(room).content("m.room.topic") == {"topic": "tea"}
    fresh = ClientState()
    fresh.apply(await bob.request("GET", "/sync"))
    assert bob.room(room).members() == fresh.rooms[room].members()


async def test_a_new_name_does_not_bring_back_who_is_leaving(alice: User, bob: User) -> None:
    rooms = [await alice.creates_room(public=True) for _ in range(4)]
    for room in rooms:
        await bob.joins(room)
    renaming = Deferred.fromCoroutine(bob.sets_profile("displayname", "Robert"))
    leaving = [Deferred.fromCoroutine(bob.leaves(room)) for room in rooms]
    await gatherResults([renaming, *leaving], consumeErrors=True)
    for room in rooms:
        assert (await alice.members(room))[bob.user_id] == "leave"
