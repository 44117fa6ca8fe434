"""Things that happen at the same moment, and clients that come back after very long."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.ids import RoomID
from homeserver.rooms.writer import Draft
from storage import filters
from storage.transaction import Transaction
from tests.harness.client import segment
from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.harness.user import User

MANY = 100_000


def begun(acting: Awaitable[Any]) -> Deferred[Any]:
    """An act under way; a refusal is its result."""

    async def act() -> Any:
        try:
            return await acting
        except Refused as refusal:
            return refusal.errcode

    return Deferred.fromCoroutine(act())


async def at_once(*acting: Awaitable[Any]) -> list[Any]:
    results: list[Any] = await gatherResults([begun(act) for act in acting])
    return results


async def timeline(user: User, room: str) -> list[dict[str, Any]]:
    return list(reversed((await user.messages(room, limit=100))["chunk"]))


async def test_two_joins_at_once_are_one(server: Server, alice: User, bob: User, carol: User) -> None:
    other = await server.logs_in(bob)
    room = await alice.creates_room(public=True)
    answers = await at_once(bob.joins(room), other.joins(room), carol.joins(room), bob.joins(room))
    assert answers == [room] * 4
    joins = [
        event["state_key"]
        for event in await timeline(alice, room)
        if event["type"] == "m.room.member" and event["content"]["membership"] == "join"
    ]
    assert sorted(joins) == [alice.user_id, bob.user_id, carol.user_id]
    joined = (await alice.request("GET", f"/rooms/{segment(room)}/joined_members"))["joined"]
    assert joined.keys() == set(joins)
    assert await at_once(bob.leaves(room), other.leaves(room)) == [None, None]


@pytest.mark.parametrize("first", ["ban", "send"])
async def test_a_ban_during_a_send(server: Server, alice: User, bob: User, first: str) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.syncs()
    sends = [bob.says(room, f"word {number}") for number in range(5)]
    ban = alice.bans(room, bob)
    acts: list[Awaitable[Any]] = [ban, *sends] if first == "ban" else [*sends[:2], ban, *sends[2:]]
    answers = await at_once(*acts)
    said = [answer for answer in answers if str(answer).startswith("$")]
    assert all(answer == "M_FORBIDDEN" for answer in answers if answer is not None and answer not in said)
    events = await timeline(alice, room)
    banned_at = next(
        index
        for index, event in enumerate(events)
        if event["type"] == "m.room.member" and event["content"]["membership"] == "ban"
    )
    before = [event["event_id"] for event in events[:banned_at] if event["type"] == "m.room.message"]
    assert before == said
    assert not [event for event in events[banned_at:] if event["sender"] == bob.user_id]
    await bob.sees(room, membership="leave")


async def test_a_leave_during_a_long_poll(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    other = await server.logs_in(bob)
    await bob.syncs()
    polling = Deferred.fromCoroutine(bob.syncs(timeout_ms=30_000))
    await server.passes(1)
    await other.leaves(room)
    answer = await polling
    assert list(answer["rooms"]["leave"]) == [room]
    await alice.says(room, "behind their back")
    answer = await bob.syncs(timeout_ms=0)
    assert room not in str(answer.get("rooms"))
    # Back again, the words in between are history like any other.
    await alice.invites(room, bob)
    await bob.joins(room)
    await bob.sees(room, "behind their back")


async def test_a_filter_that_goes_during_a_poll(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    only_names = {"room": {"timeline": {"types": ["m.room.name"]}, "ephemeral": {"types": []}}}
    made = await bob.request("POST", f"/user/{bob.user_id}/filter", only_names)
    await bob.syncs(filter=made["filter_id"])
    polling = Deferred.fromCoroutine(bob.syncs(timeout_ms=30_000, filter=made["filter_id"]))
    await server.passes(1)
    await server.homeserver.surroundings.database.run(filters.delete_of_user, bob.user_id)
    await alice.says(room, "not for this filter")
    name = await alice.sets(room, "m.room.name", {"name": "Tea"})
    # The poll goes on with the filter that it began with; the next one is told that there is none any more.
    answer = await polling
    if not answer["rooms"]["join"][room]["timeline"]["events"]:
        # It had a count to tell.
        assert answer["rooms"]["join"][room]["unread_notifications"]["notification_count"] == 1
        answer = await bob.syncs(filter=made["filter_id"])
    events = answer["rooms"]["join"][room]["timeline"]["events"]
    assert [event["event_id"] for event in events] == [name]
    later = await bob.ask("GET", "/sync", query={"filter": made["filter_id"], "timeout": 0})
    assert later.status in (200, 400, 404)


async def test_a_token_from_before_an_upgrade(server: Server, alice: User, bob: User) -> None:
    old = await alice.creates_room(inviting=bob, version="10")
    await bob.joins(old)
    await bob.syncs()
    before = bob.client.since
    page = await bob.messages(old, limit=1)
    answer = await alice.request("POST", f"/rooms/{segment(old)}/upgrade", {"new_version": "12"})
    new = answer["replacement_room"]
    await alice.invites(new, bob)
    await bob.joins(new)
    await alice.says(new, "here we are")
    # The server is upgraded too: what it held in memory is gone.
    await server.restarts()
    answer = await bob.syncs(since=before)
    left = answer["rooms"]["join"][old]["timeline"]["events"]
    assert "m.room.tombstone" in [event["type"] for event in left]
    assert "here we are" in str(answer["rooms"]["join"][new]["timeline"]["events"])
    older = await bob.messages(old, from_=page["end"], limit=100)
    assert older["chunk"][-1]["type"] == "m.room.create"


async def test_a_client_comes_back_after_very_many_events(server: Server, alice: User, bob: User) -> None:
    """All of it is written as one append: what matters is how much lies between the token and now."""
    await bob.syncs()
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.syncs()
    before = bob.client.since
    said = [
        Draft("m.room.message", alice.user_id, {"msgtype": "m.text", "body": str(number)})
        for number in range(500)
    ]
    rooms = server.homeserver.services.rooms
    await rooms.writer.append(await rooms.rooms.load(RoomID(room)), said)
    await server.homeserver.surroundings.database.run(jump, MANY)
    await server.restarts()
    await alice.says(room, "the last")
    answer = await bob.syncs(since=before)
    section = answer["rooms"]["join"][room]["timeline"]
    assert section["limited"] is True
    assert section["events"][-1]["content"]["body"] == "the last"
    assert int(answer["next_batch"].split("_")[0].lstrip("s")) > MANY
    # Nothing is lost in the gap, and nothing comes twice.
    heard, token = [event["event_id"] for event in section["events"]], section["prev_batch"]
    while token is not None:
        page = await bob.messages(room, from_=token, limit=100)
        heard[:0] = [event["event_id"] for event in reversed(page["chunk"])]
        token = page.get("end")
    assert len(heard) == len(set(heard))
    assert len(heard) > 500
    assert (await bob.syncs(timeout_ms=0)).get("rooms") is None


def jump(txn: Transaction, how_far: int) -> None:
    """Let the log be at a much later position, as if much had happened in other rooms."""
    last = txn.value("SELECT MAX(position) FROM log")
    txn.execute("UPDATE log SET position = position + ? WHERE position = ?", how_far, last)
    # Where several processes may write, the next position is in a row of its own.
    txn.execute("UPDATE counters SET value = value + ? WHERE name = 'log'", how_far)
