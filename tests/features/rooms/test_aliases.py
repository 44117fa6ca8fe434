"""Aliases, and the visibility of rooms in the directory.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-aliases
"""

from __future__ import annotations

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


def alias_path(alias: str) -> str:
    return f"/directory/room/{segment(alias)}"


async def test_an_alias_is_made_found_and_removed(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room()
    alias = f"#tea:{server.name}"
    await alice.request("PUT", alias_path(alias), {"room_id": room})
    found = await server.client().request("GET", alias_path(alias))
    assert found == {"room_id": room, "servers": [server.name]}
    assert (await alice.request("GET", f"/rooms/{room}/aliases"))["aliases"] == [alias]
    with refused("M_UNKNOWN", 409):
        await alice.request("PUT", alias_path(alias), {"room_id": room})
    with refused("M_FORBIDDEN", 403):
        await bob.request("DELETE", alias_path(alias))
    with refused("M_FORBIDDEN", 403):
        await bob.request("GET", f"/rooms/{room}/aliases")
    await alice.request("DELETE", alias_path(alias))
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", alias_path(alias))
    with refused("M_NOT_FOUND", 404):
        await alice.request("DELETE", alias_path(alias))


async def test_aliases_are_of_this_server(alice: User) -> None:
    room = await alice.creates_room()
    for alias in ("#tea:elsewhere.test", "tea", "#tea", f"#{'x' * 255}:one.test"):
        answer = await alice.ask("PUT", alias_path(alias), {"room_id": room})
        assert answer.status in (400, 403), alias


async def test_the_canonical_alias_must_stand_for_the_room(server: Server, alice: User) -> None:
    room, other = await alice.creates_room(), await alice.creates_room()
    here, there = f"#here:{server.name}", f"#there:{server.name}"
    await alice.request("PUT", alias_path(here), {"room_id": room})
    await alice.request("PUT", alias_path(there), {"room_id": other})
    await alice.sets(room, "m.room.canonical_alias", {"alias": here, "alt_aliases": []})
    with refused("M_BAD_ALIAS", 400):
        await alice.sets(room, "m.room.canonical_alias", {"alias": there})
    with refused("M_BAD_ALIAS", 400):
        await alice.sets(
            room, "m.room.canonical_alias", {"alias": here, "alt_aliases": ["#nothing:one.test"]}
        )
    with refused("M_INVALID_PARAM", 400):
        await alice.sets(room, "m.room.canonical_alias", {"alias": "nonsense"})
    # What it says already may stay, even when the directory no longer knows it.
    await alice.request("DELETE", alias_path(here))
    await alice.sets(room, "m.room.canonical_alias", {"alias": here})


async def test_a_room_is_listed_and_unlisted_by_its_owner(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    path = f"/directory/list/room/{room}"
    assert await server.client().request("GET", path) == {"visibility": "private"}
    await alice.request("PUT", path, {"visibility": "public"})
    assert await server.client().request("GET", path) == {"visibility": "public"}
    assert [each["room_id"] for each in (await bob.request("GET", "/publicRooms"))["chunk"]] == [room]
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", path, {"visibility": "private"})
    await alice.request("PUT", path, {"visibility": "private"})
    assert (await bob.request("GET", "/publicRooms"))["chunk"] == []
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", "/directory/list/room/!nothing:one.test")


async def test_the_directory_comes_in_pages(alice: User) -> None:
    rooms = {
        await alice.creates_room(public=True, visibility="public", name=str(number)) for number in range(5)
    }
    found: list[str] = []
    since = None
    while True:
        page = await alice.request("GET", "/publicRooms", query={"limit": 2, "since": since})
        found += [each["room_id"] for each in page["chunk"]]
        since = page.get("next_batch")
        if since is None:
            break
    assert len(found) == 5
    assert set(found) == rooms


async def test_spaces_and_rooms_are_told_apart(alice: User) -> None:
    space = await alice.creates_room(public=True, visibility="public", creation_content={"type": "m.space"})
    room = await alice.creates_room(public=True, visibility="public")
    for types, expected in ((["m.space"], {space}), ([None], {room}), ([None, "m.space"], {space, room})):
        found = await alice.request("POST", "/publicRooms", {"filter": {"room_types": types}})
        assert {each["room_id"] for each in found["chunk"]} == expected


async def test_rooms_that_one_may_knock_on_are_listed_as_such(alice: User, bob: User, carol: User) -> None:
    rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    room = await alice.creates_room(visibility="public", initial_state=[rule], name="Knock")
    (listed,) = (await bob.request("GET", "/publicRooms"))["chunk"]
    assert (listed["room_id"], listed["join_rule"], listed["name"]) == (room, "knock", "Knock")
    summary = await bob.request("GET", f"/_matrix/client/v1/room_summary/{room}")
    assert (summary["join_rule"], summary["num_joined_members"]) == ("knock", 1)
    await bob.knocks(room)
    assert (await bob.request("GET", f"/_matrix/client/v1/room_summary/{room}"))["membership"] == "knock"
    space = await carol.creates_room(public=True, creation_content={"type": "m.space"})
    await carol.sets(space, "m.space.child", {"via": ["one.test"]}, state_key=room)
    found = await carol.request("GET", f"/_matrix/client/v1/rooms/{space}/hierarchy")
    assert {each["room_id"]: each["join_rule"] for each in found["rooms"]} == {space: "public", room: "knock"}
