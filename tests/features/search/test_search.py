"""Finding what was said."""

from __future__ import annotations

from typing import Any

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def searches(
    server: Server, user: User, term: str, *, next_batch: str | None = None, **wish: Any
) -> dict[str, Any]:
    """Search, once the index has had the time to see everything."""
    await server.passes(2)
    body = {"search_categories": {"room_events": {"search_term": term, **wish}}}
    answer = await user.request("POST", "/search", body, query={"next_batch": next_batch})
    found: dict[str, Any] = answer["search_categories"]["room_events"]
    return found


def bodies(found: dict[str, Any]) -> list[str]:
    return [one["result"]["content"]["body"] for one in found["results"]]


async def test_words_are_found(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, name="Cakes and more", topic="Everything baked")
    await alice.says(room, "The lemon cake is ready")
    await alice.says(room, "Nobody likes bread")
    await bob.joins(room)
    await bob.says(room, "I like CAKE, lemon-cake most")
    found = await searches(server, bob, "lemon cake", order_by="recent")
    assert bodies(found) == ["I like CAKE, lemon-cake most", "The lemon cake is ready"]
    assert found["count"] == 2
    assert sorted(found["highlights"]) == ["cake", "lemon"]
    assert bodies(await searches(server, bob, "lemon bread")) == []
    named = await searches(server, bob, "cakes", keys=["content.name"])
    assert [one["result"]["type"] for one in named["results"]] == ["m.room.name"]
    topics = await searches(server, bob, "baked", keys=["content.topic"])
    assert len(topics["results"]) == 1
    with refused("M_INVALID_PARAM", 400):
        await searches(server, bob, "x", keys=["content.url"])


async def test_scripts_without_spaces_are_found_too(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "今天的蛋糕很好吃")
    assert bodies(await searches(server, alice, "蛋糕")) == ["今天的蛋糕很好吃"]
    assert bodies(await searches(server, alice, "面包")) == []


async def test_the_closest_comes_first(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "cake")
    await alice.says(room, "some day somebody somewhere said something of a cake to somebody else")
    found = await searches(server, alice, "cake")
    assert bodies(found)[0] == "cake"
    assert found["results"][0]["rank"] > found["results"][1]["rank"]


async def test_only_what_one_may_see_is_found(server: Server, alice: User, bob: User) -> None:
    hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = await alice.creates_room(inviting=bob, initial_state=[hidden])
    await alice.says(room, "cake before bob")
    await bob.joins(room)
    await alice.says(room, "cake with bob")
    private = await alice.creates_room()
    await alice.says(private, "cake for alice")
    assert bodies(await searches(server, bob, "cake")) == ["cake with bob"]
    await bob.leaves(room)
    assert bodies(await searches(server, bob, "cake")) == []


async def test_what_is_redacted_or_encrypted_is_not_found(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    said = await alice.says(room, "cake")
    secret = await alice.creates_room()
    await alice.says(secret, "cake too")
    await alice.sets(secret, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert bodies(await searches(server, alice, "cake")) == ["cake"]
    await alice.redacts(room, said)
    assert bodies(await searches(server, alice, "cake")) == []


async def test_results_come_in_pages_and_groups(server: Server, alice: User) -> None:
    one, two = await alice.creates_room(), await alice.creates_room()
    for number in range(3):
        await alice.says(one, f"cake {number}")
        await alice.says(two, f"cake {number}")
    wish: dict[str, Any] = {
        "order_by": "recent",
        "filter": {"limit": 4},
        "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    }
    first = await searches(server, alice, "cake", **wish)
    assert bodies(first) == ["cake 2", "cake 2", "cake 1", "cake 1"]
    assert {room: len(group["results"]) for room, group in first["groups"]["room_id"].items()} == {
        one: 2,
        two: 2,
    }
    assert list(first["groups"]["sender"]) == [alice.user_id]
    second = await searches(server, alice, "cake", next_batch=first["next_batch"], **wish)
    assert bodies(second) == ["cake 0", "cake 0"]
    assert "next_batch" not in second
    group = first["groups"]["room_id"][one]
    of_one = await searches(server, alice, "cake", next_batch=group["next_batch"], **wish)
    assert [result["result"]["room_id"] for result in of_one["results"]] == [one]
    only = await searches(server, alice, "cake", filter={"rooms": [two]})
    assert {result["result"]["room_id"] for result in only["results"]} == {two}
    ranked = await searches(server, alice, "cake", filter={"limit": 5})
    rest = await searches(server, alice, "cake", filter={"limit": 5}, next_batch=ranked["next_batch"])
    assert len(rest["results"]) == 1
    with refused("M_INVALID_PARAM", 400):
        await searches(server, alice, "cake", next_batch="nonsense")


async def test_what_stands_around_comes_along(server: Server, alice: User) -> None:
    await alice.sets_profile("displayname", "Alice")
    room = await alice.creates_room(name="Kitchen")
    for body in ("one", "two", "cake", "three", "four"):
        await alice.says(room, body)
    context = {"before_limit": 1, "after_limit": 1, "include_profile": True}
    found = await searches(server, alice, "cake", event_context=context, include_state=True)
    around = found["results"][0]["context"]
    assert [event["content"]["body"] for event in around["events_before"]] == ["two"]
    assert [event["content"]["body"] for event in around["events_after"]] == ["three"]
    assert around["profile_info"] == {alice.user_id: {"displayname": "Alice"}}
    older = await alice.messages(room, from_=around["start"], limit=1)
    assert [event["content"]["body"] for event in older["chunk"]] == ["one"]
    assert any(event["type"] == "m.room.name" for event in found["state"][room])


async def test_the_index_goes_on_after_a_restart(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "cake before")
    await server.restarts()
    await alice.says(room, "cake after")
    assert bodies(await searches(server, alice, "cake", order_by="recent")) == ["cake after", "cake before"]


async def test_queries_are_only_words(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "cake")
    for term in ('"', "* OR cake", "NEAR(cake", "cake' AND 1=1 --", "words:cake", "", "\0", "(((", "😀"):
        await searches(server, alice, term)


async def test_search_can_be_switched_off(make_server: ServerFactory) -> None:
    server = make_server(enable_search=False)
    with refused("M_FORBIDDEN", 403):
        await searches(server, await server.user("alice"), "cake")
