"""Reading what was said before one's server was there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.server import Server
from tests.harness.user import User

VERSIONS = ["1", "6", "10", "11", "12"]


async def everything_said(user: User, room: str, limit: int = 20) -> list[str]:
    """Page back to the beginning, as a client does."""
    bodies: list[str] = []
    token: str | None = None
    for _ in range(100):
        page: dict[str, Any] = await user.messages(room, limit=limit, from_=token)
        bodies += [event["content"]["body"] for event in page["chunk"] if "body" in event["content"]]
        token = page.get("end")
        if token is None:
            break
    return bodies[::-1]


@pytest.mark.parametrize("version", VERSIONS)
async def test_members_read_back_to_the_beginning(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(public=True, version=version)
    wanted = []
    for number in range(130):
        wanted.append(f"alice {number}")
        await alice.says(room, wanted[-1])
        if number % 10 == 0:
            await alice.sets(room, "m.room.topic", {"topic": str(number)})
    await bob.joins(room, via=["one.test"])
    assert await everything_said(bob, room) == wanted
    assert await everything_said(bob, room, limit=7) == wanted


async def test_what_was_redacted_stays_redacted(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    said = await alice.says(room, "in haste")
    await alice.says(room, "at leisure")
    await alice.redacts(room, said)
    await bob.joins(room, via=["one.test"])
    assert await everything_said(bob, room) == ["at leisure"]


async def test_who_may_not_see_what_was_before_does_not(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await alice.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
    await alice.says(room, "not for bob")
    await bob.joins(room, via=["one.test"])
    await alice.says(room, "for bob")
    await bob.sees(room, "for bob")
    assert await everything_said(bob, room) == ["for bob"]


async def test_history_is_there_after_a_restart(two: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    for number in range(10):
        await alice.says(room, f"alice {number}")
    await bob.joins(room, via=["one.test"])
    before = await everything_said(bob, room)
    await two.restarts()
    assert await everything_said(bob, room) == before == [f"alice {number}" for number in range(10)]


async def test_a_day_of_the_past_is_found(one: Server, alice: User, bob: User) -> None:
    """What was said before one's server was there is found by its time, and can be looked at."""
    room = await alice.creates_room(public=True)
    said = {}
    for number in range(150):
        said[number] = await alice.says(room, f"alice {number}")
        await one.passes(60)
    await bob.joins(room, via=["one.test"])
    for wanted, query in ((20, "f"), (20, "b"), (140, "f")):
        ts = (await alice.event(room, said[wanted]))["origin_server_ts"]
        path = f"/_matrix/client/v1/rooms/{room}/timestamp_to_event"
        found = await bob.request("GET", path, query={"ts": ts, "dir": query})
        assert found == {"event_id": said[wanted], "origin_server_ts": ts}
        context = await bob.request("GET", f"/rooms/{room}/context/{said[wanted]}")
        assert context["event"]["content"]["body"] == f"alice {wanted}"
    assert await everything_said(bob, room) == [f"alice {number}" for number in range(150)]
