"""Spaces: rooms that hold rooms, seen by those who may."""

from __future__ import annotations

from typing import Any

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def makes_space(user: User, name: str, **options: Any) -> str:
    return await user.creates_room(name=name, creation_content={"type": "m.space"}, **options)


async def puts(user: User, space: str, room: str, **content: Any) -> None:
    """Make the room a child of the space."""
    await user.sets(space, "m.space.child", {"via": ["one.test"], **content}, state_key=room)


async def hierarchy(user: User, space: str, **query: Any) -> dict[str, Any]:
    if "from_" in query:
        query["from"] = query.pop("from_")
    return await user.request("GET", f"/_matrix/client/v1/rooms/{segment(space)}/hierarchy", query=query)


async def names(user: User, space: str, **query: Any) -> list[str]:
    return [room["name"] for room in (await hierarchy(user, space, **query))["rooms"]]


async def test_the_tree_is_walked_depth_first_in_the_order_of_the_children(alice: User) -> None:
    town = await makes_space(alice, "Town")
    street = await makes_space(alice, "Street")
    house, park, well = [await alice.creates_room(name=name) for name in ("House", "Park", "Well")]
    await puts(alice, town, park, order="b")
    await puts(alice, town, street, order="a")
    await puts(alice, town, well)
    await puts(alice, street, house)
    # A circle ends where it began.
    await puts(alice, street, town)
    assert await names(alice, town) == ["Town", "Street", "House", "Park", "Well"]
    assert await names(alice, town, max_depth=1) == ["Town", "Street", "Park", "Well"]
    assert await names(alice, town, max_depth=0) == ["Town"]


async def test_a_long_walk_comes_in_pages(alice: User, bob: User) -> None:
    town = await makes_space(alice, "Town")
    for number in range(4):
        room = await alice.creates_room(name=f"Room {number}")
        await puts(alice, town, room, order=str(number))
    first = await hierarchy(alice, town, limit=2)
    assert [room["name"] for room in first["rooms"]] == ["Town", "Room 0"]
    second = await hierarchy(alice, town, limit=9, from_=first["next_batch"])
    assert [room["name"] for room in second["rooms"]] == ["Room 1", "Room 2", "Room 3"]
    assert "next_batch" not in second
    with refused("M_INVALID_PARAM", 400):
        await hierarchy(alice, town, from_=first["next_batch"], max_depth=1)
    with refused("M_INVALID_PARAM", 400):
        await hierarchy(alice, town, from_="made up")
    with refused("M_INVALID_PARAM", 400):
        await hierarchy(bob, town, from_=first["next_batch"])
    with refused("M_INVALID_PARAM", 400):
        await hierarchy(alice, town, limit=0)


async def test_everybody_sees_the_rooms_that_are_for_them(alice: User, bob: User) -> None:
    town = await makes_space(alice, "Town", public=True)
    secret = await alice.creates_room(name="Secret")
    square = await alice.creates_room(name="Square", public=True)
    allow = [{"type": "m.room_membership", "room_id": town}]
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}
    club = await alice.creates_room(name="Club", initial_state=[rule])
    for order, room in enumerate((secret, square, club)):
        await puts(alice, town, room, order=str(order))
    assert await names(bob, town) == ["Town", "Square"]
    await bob.joins(town)
    assert await names(bob, town) == ["Town", "Square", "Club"]
    await alice.invites(secret, bob)
    assert await names(bob, town) == ["Town", "Secret", "Square", "Club"]
    (shown,) = [room for room in (await hierarchy(bob, town))["rooms"] if room["room_id"] == club]
    assert shown["allowed_room_ids"] == [town]
    with refused("M_FORBIDDEN", 403):
        await hierarchy(bob, await alice.creates_room())


async def test_only_suggested_rooms_and_only_real_children(alice: User) -> None:
    town = await makes_space(alice, "Town")
    liked = await alice.creates_room(name="Liked")
    other = await alice.creates_room(name="Other")
    removed = await alice.creates_room(name="Removed")
    await puts(alice, town, liked, suggested=True, order="a")
    await puts(alice, town, other, order="b")
    await alice.sets(town, "m.space.child", {}, state_key=removed)
    assert await names(alice, town, suggested_only=True) == ["Town", "Liked"]
    assert await names(alice, town) == ["Town", "Liked", "Other"]
    # A child of no space is none.
    await puts(alice, liked, removed)
    assert await names(alice, liked) == ["Liked"]


async def test_a_room_has_a_summary(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(
        name="Cakes", topic="All of them", public=True, room_alias_name="cakes", version="11"
    )
    for path in (
        f"/_matrix/client/v1/room_summary/{segment(room)}",
        f"/_matrix/client/unstable/im.nheko.summary/rooms/{segment('#cakes:one.test')}/summary",
    ):
        summary = await bob.request("GET", path)
        assert summary["name"] == "Cakes"
        assert summary["topic"] == "All of them"
        assert summary["num_joined_members"] == 1
        assert summary["room_version"] == "11"
        assert summary["membership"] == "leave"
    unknown = await server.client().request("GET", f"/_matrix/client/v1/room_summary/{segment(room)}")
    assert "membership" not in unknown
    hidden = await alice.creates_room(name="Hidden")
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", f"/_matrix/client/v1/room_summary/{segment(hidden)}")
    with refused("M_NOT_FOUND", 404):
        await server.client().request("GET", f"/_matrix/client/v1/room_summary/{segment(hidden)}")
    await alice.bans(room, bob)
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", f"/_matrix/client/v1/room_summary/{segment(room)}")


async def test_rooms_in_common(alice: User, bob: User) -> None:
    shared = await alice.creates_room(inviting=bob)
    await bob.joins(shared)
    await alice.creates_room(inviting=bob)
    path = "/_matrix/client/v1/mutual_rooms"
    answer = await alice.request("GET", path, query={"user_id": bob.user_id})
    assert answer == {"joined": [shared], "count": 1}
    unstable = "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"
    assert await alice.request("GET", unstable, query={"user_id": bob.user_id}) == answer
    nobody = await alice.request("GET", path, query={"user_id": "@nobody:one.test"})
    assert nobody == {"joined": [], "count": 0}
    with refused("M_INVALID_PARAM", 400):
        await alice.request("GET", path, query={"user_id": alice.user_id})
    with refused("M_INVALID_PARAM", 400):
        await alice.request("GET", path, query={"user_id": bob.user_id, "from": "7"})
