"""Clients of the first days, which know no `/sync`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


def bodies(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"]["body"] for event in events if "body" in event["content"]]


async def test_everything_at_once(alice: User, bob: User) -> None:
    room = await alice.creates_room(name="Tea", inviting=bob)
    left = await alice.creates_room(name="Gone")
    for number in range(3):
        await alice.says(room, str(number))
    await alice.leaves(left)
    await alice.keeps("org.example", {"a": 1})
    answer = await alice.request("GET", "/initialSync", query={"limit": 2})
    (known,) = answer["rooms"]
    assert known["room_id"] == room
    assert known["membership"] == "join"
    assert known["visibility"] == "private"
    assert bodies(known["messages"]["chunk"]) == ["1", "2"]
    assert {"type": "org.example", "content": {"a": 1}} in answer["account_data"]
    assert any(event["type"] == "m.room.name" for event in known["state"])
    older = await alice.messages(room, from_=known["messages"]["start"], limit=1)
    assert bodies(older["chunk"]) == ["0"]
    archived = await alice.request("GET", "/initialSync", query={"archived": True})
    assert {each["room_id"]: each["membership"] for each in archived["rooms"]} == {
        room: "join",
        left: "leave",
    }
    invited = await bob.request("GET", "/initialSync")
    assert [(each["room_id"], each["membership"]) for each in invited["rooms"]] == [(room, "invite")]


async def test_one_room(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "hello")
    answer = await alice.request("GET", f"/rooms/{segment(room)}/initialSync")
    assert bodies(answer["messages"]["chunk"]) == ["hello"]
    with refused("M_FORBIDDEN", 403):
        await bob.request("GET", f"/rooms/{segment(room)}/initialSync")


async def test_events_are_waited_for(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    start = (await bob.request("GET", "/initialSync"))["end"]
    asked = {"from": start, "timeout": 30_000}
    waiting = Deferred.fromCoroutine(bob.request("GET", "/events", query=asked))
    await server.passes(1)
    assert not waiting.called
    await alice.says(room, "hello")
    answer = await waiting
    assert bodies(answer["chunk"]) == ["hello"]
    again = await bob.request("GET", "/events", query={"from": answer["end"], "timeout": 1000})
    assert again["chunk"] == []
    with refused("M_INVALID_PARAM", 400):
        await bob.request("GET", "/events", query={"from": "nothing"})


async def test_an_open_room_can_be_followed_from_outside(alice: User, bob: User) -> None:
    opened = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room = await alice.creates_room(public=True, initial_state=[opened])
    start = (await bob.request("GET", f"/rooms/{segment(room)}/initialSync"))["messages"]["end"]
    await alice.says(room, "for all")
    answer = await bob.request("GET", "/events", query={"from": start, "room_id": room})
    assert bodies(answer["chunk"]) == ["for all"]
    closed = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await bob.request("GET", "/events", query={"room_id": closed})


async def test_one_event(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    event = await alice.says(room, "hello")
    assert (await alice.request("GET", f"/events/{segment(event)}"))["room_id"] == room
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", f"/events/{segment(event)}")
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", "/events/$nothing")
