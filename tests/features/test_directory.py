"""The room directory: published rooms, found and joined by alias."""

from __future__ import annotations

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def publishes(user: User, name: str) -> str:
    return await user.creates_room(public=True, visibility="public", name=name, room_alias_name=name.lower())


async def test_a_published_room_is_found_and_joined(server: Server, alice: User, bob: User) -> None:
    room = await publishes(alice, "Cakes")
    await alice.creates_room(public=True, name="Unlisted")
    listed = await bob.request("GET", "/publicRooms")
    assert [(each["room_id"], each["name"]) for each in listed["chunk"]] == [(room, "Cakes")]
    found = await bob.request("POST", "/publicRooms", {"filter": {"generic_search_term": "cake"}})
    assert [each["room_id"] for each in found["chunk"]] == [room]
    assert await bob.joins(f"#cakes:{server.name}") == room


async def test_only_users_read_the_directory_unless_it_is_open(server: Server) -> None:
    with refused("M_MISSING_TOKEN", 401):
        await server.client().request("GET", "/publicRooms")


async def test_an_open_directory_is_for_everybody(make_server: ServerFactory) -> None:
    server = make_server(allow_public_rooms_without_auth=True)
    room = await publishes(await server.user("alice"), "Cakes")
    listed = await server.client().request("GET", "/publicRooms")
    assert [each["room_id"] for each in listed["chunk"]] == [room]
