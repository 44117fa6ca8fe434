"""Finding people."""

from __future__ import annotations

from typing import Any

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def finds(server: Server, user: User, term: str, **body: Any) -> list[str]:
    """Whom the user finds, once the directory has had the time to hear of everything."""
    await server.passes(2)
    answer = await user.request("POST", "/user_directory/search", {"search_term": term, **body})
    return [one["user_id"] for one in answer["results"]]


async def test_those_one_shares_a_room_with_are_found(
    server: Server, alice: User, bob: User, carol: User
) -> None:
    await bob.sets_profile("displayname", "Robert the Baker")
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    for term in ("bob", "BAKER", "the robert", "@bob:one.test", "bak"):
        assert await finds(server, alice, term) == [bob.user_id], term
    assert await finds(server, carol, "baker") == []
    assert await finds(server, alice, "alice") == []
    assert await finds(server, alice, "%") == []
    answer = await alice.request("POST", "/user_directory/search", {"search_term": "bob"})
    assert answer == {
        "results": [{"user_id": bob.user_id, "display_name": "Robert the Baker"}],
        "limited": False,
    }
    await bob.sets_profile("displayname", "Bob")
    assert await finds(server, alice, "baker") == []
    await bob.leaves(room)
    assert await finds(server, alice, "bob") == []


async def test_those_in_open_rooms_are_found_by_all(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    assert await finds(server, bob, "alice") == [alice.user_id]
    await alice.sets(room, "m.room.join_rules", {"join_rule": "invite"})
    assert await finds(server, bob, "alice") == []
    await alice.sets(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    assert await finds(server, bob, "alice") == [alice.user_id]


async def test_who_is_called_just_so_comes_first(server: Server) -> None:
    people = await server.users("anna", "annabel", "joanna")
    for person in people:
        await person.creates_room(public=True)
    searcher = await server.user("zoe")
    assert await finds(server, searcher, "anna") == [
        "@anna:one.test",
        "@annabel:one.test",
        "@joanna:one.test",
    ]
    answer = await searcher.request("POST", "/user_directory/search", {"search_term": "anna", "limit": 1})
    assert answer["limited"] is True
    assert len(answer["results"]) == 1


async def test_a_directory_of_everybody(make_server: ServerFactory) -> None:
    server = make_server(user_directory={"search_all_users": True})
    alice, bob = await server.users("alice", "bob")
    await bob.sets_profile("displayname", "Robert")
    assert await finds(server, alice, "robert") == [bob.user_id]
    await bob.confirms("POST", "/account/deactivate")
    assert await finds(server, alice, "bob") == []


async def test_no_directory(make_server: ServerFactory) -> None:
    server = make_server(user_directory={"enabled": False})
    with refused("M_FORBIDDEN", 403):
        await finds(server, await server.user("alice"), "bob")
