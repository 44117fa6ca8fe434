"""What was said before, or while one of the two servers was away; spaces, directories and aliases across."""

from __future__ import annotations

import pytest

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.interop.peer.people import Person
from tests.interop.peer.test_rooms import they_agree, they_meet


async def everything_said(person: Person, room: str) -> list[str]:
    """Page back to the beginning, as a client does."""
    bodies: list[str] = []
    token: str | None = None
    for _ in range(50):
        page = await person.messages(room, limit=30, from_=token)
        bodies += [event["content"]["body"] for event in page["chunk"] if "body" in event["content"]]
        token = page.get("end")
        if token is None:
            return bodies[::-1]
    raise AssertionError(f"{room} has no beginning")


async def knows_all(person: Person, room: str, bodies: set[str]) -> None:
    """Page back until nothing of it is missing: Synapse fills gaps of many events beside the answer."""

    async def missing() -> set[str]:
        return bodies - set(await everything_said(person, room))

    await person.waits_for(missing, set())


@pytest.mark.parametrize("version", ["6", "10", "12"])
async def test_members_read_back_to_the_beginning(host: Person, guest: Person, version: str) -> None:
    room = await host.creates_room(public=True, version=version)
    for number in range(70):
        await host.says(room, f"message {number}")
    await guest.joins(room, via=[host.place.name])
    wanted = [f"message {number}" for number in range(70)]
    await guest.waits_for(lambda: everything_said(guest, room), wanted)


async def test_who_may_not_see_what_was_before_does_not(host: Person, guest: Person) -> None:
    room = await host.creates_room(public=True)
    await host.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
    await host.says(room, "not for the guest")
    await guest.joins(room, via=[host.place.name])
    await host.sees(room, member={guest: "join"})
    await host.says(room, "for the guest")
    await guest.sees(room, "for the guest")
    assert await everything_said(guest, room) == ["for the guest"]


async def test_a_day_is_found_on_the_other_server(host: Person, guest: Person) -> None:
    room = await host.creates_room(public=True)
    first = await host.says(room, "early")
    for number in range(30):
        await host.says(room, f"message {number}")
    await guest.joins(room, via=[host.place.name])
    ts = (await host.event(room, first))["origin_server_ts"]
    found = await guest.request(
        "GET", f"/_matrix/client/v1/rooms/{segment(room)}/timestamp_to_event", query={"ts": ts, "dir": "f"}
    )
    assert found["event_id"] == first


async def test_a_space_is_walked_across(host: Person, guest: Person) -> None:
    open_room = await host.creates_room(public=True, name="Open")
    closed = await host.creates_room(name="Closed")
    space = await host.creates_room(public=True, name="Space", creation_content={"type": "m.space"})
    via = {"via": [host.place.name]}
    for child in (open_room, closed):
        await host.sets(space, "m.space.child", via, state_key=child)
    inner = await host.creates_room(public=True, name="Inner", creation_content={"type": "m.space"})
    await host.sets(space, "m.space.child", via, state_key=inner)
    deep = await host.creates_room(public=True, name="Deep")
    await host.sets(inner, "m.space.child", via, state_key=deep)
    await guest.joins(space, via=[host.place.name])

    async def seen() -> dict[str, str]:
        answer = await guest.request("GET", f"/_matrix/client/v1/rooms/{segment(space)}/hierarchy")
        return {room["room_id"]: room.get("name", "") for room in answer["rooms"]}

    await guest.waits_for(seen, {space: "Space", open_room: "Open", inner: "Inner", deep: "Deep"})
    summary = await guest.request(
        "GET", f"/_matrix/client/v1/room_summary/{segment(open_room)}", query={"via": [host.place.name]}
    )
    assert summary["name"] == "Open"


async def test_rooms_and_aliases_are_looked_up_across(host: Person, guest: Person) -> None:
    name = f"club-{host.localpart}"
    room = await host.creates_room(
        public=True, name=name, room_alias_name=name, visibility="public", topic="Tea"
    )
    alias = f"#{name}:{host.place.name}"
    listed = await guest.request(
        "POST", "/publicRooms", {"filter": {"generic_search_term": name}}, query={"server": host.place.name}
    )
    (entry,) = listed["chunk"]
    assert (entry["room_id"], entry["canonical_alias"], entry["topic"]) == (room, alias, "Tea")
    listed = await guest.request("GET", "/publicRooms", query={"server": host.place.name, "limit": 100})
    assert room in [each["room_id"] for each in listed["chunk"]]
    found = await guest.request("GET", f"/directory/room/{segment(alias)}")
    assert found["room_id"] == room
    assert host.place.name in found["servers"]
    await host.request("DELETE", f"/directory/room/{segment(alias)}")
    with refused("M_NOT_FOUND", 404):
        await guest.request("GET", f"/directory/room/{segment(alias)}")


@pytest.mark.parametrize("version", ["6", "11", "12"])
async def test_who_comes_back_finds_the_room_as_it_is(host: Person, guest: Person, version: str) -> None:
    """The guest's server was out of the room while it changed, and knows how it once was."""
    room = await they_meet(host, guest, version)
    await guest.says(room, "goodbye")
    await host.sees(room, "goodbye")
    await guest.leaves(room)
    await guest.sees(room, membership="leave")
    await host.sees(room, member={guest: "leave"})
    other = await host.place.user("other")
    await other.joins(room)
    regretted = await other.says(room, "in haste")
    await other.redacts(room, regretted)
    for number in range(15):
        await other.says(room, f"meanwhile {number}")
    await host.sets(room, "m.room.name", {"name": "Coffee"})
    await other.leaves(room)
    await guest.joins(room, via=[host.place.name])
    await host.sees(room, member={guest: "join"})
    await they_agree(room, host, guest)
    assert (await guest.state(room, "m.room.name"))["name"] == "Coffee"
    assert other.user_id not in await guest.members(room, membership="join")
    await knows_all(guest, room, {"goodbye"} | {f"meanwhile {number}" for number in range(15)})
    assert "in haste" not in await everything_said(guest, room)
    await guest.says(room, "hello again")
    await host.sees(room, "hello again")
