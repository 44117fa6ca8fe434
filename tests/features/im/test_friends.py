"""Friends: asking, answering, parting and coming back, from this API and from stock clients."""

from __future__ import annotations

from tests.harness.fixtures import ServerFactory
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server

DAY_S = 24 * 60 * 60


async def test_a_request_is_made_seen_and_accepted(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben, "it is me", remark="Benny")
    assert asked["state"] == "pending"
    (seen,) = await ben.requests(state="pending")
    assert (seen["request_id"], seen["message"]) == (asked["request_id"], "it is me")
    assert seen["user"]["user_id"] == ann.user_id
    assert await ann.friends() == []
    room = await ben.accepts(ann)
    assert room == asked["room_id"]
    assert await ann.friends() == [ben.user_id]
    assert await ben.friends() == [ann.user_id]
    (friend,) = (await ann.call("GET", "/friends"))["items"]
    assert (friend["remark"], friend["room_id"], friend["category_id"]) == ("Benny", room, "default")
    with refused("IM_ALREADY_FRIEND", 409):
        await ann.asks(ben)
    with refused("IM_REQUEST_HANDLED", 409):
        await ben.answers(asked["request_id"], "reject")


async def test_asking_twice_is_asking_once_and_asking_back_is_accepting(ann: ImUser, ben: ImUser) -> None:
    first = await ann.asks(ben)
    again = await ann.asks(ben)
    assert again["deduplicated"] and again["request_id"] == first["request_id"]
    assert (await ben.asks(ann))["state"] == "accepted"
    assert await ann.friends() == [ben.user_id]


async def test_who_is_refused_waits_a_day(server: Server, ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben)
    await ben.answers(asked["request_id"], "reject", reason="who are you?")
    assert [each["state"] for each in await ann.requests("out")] == ["rejected"]
    with refused("IM_REQUEST_TOO_SOON", 429) as refusal:
        await ann.asks(ben)
    assert 0 < refusal.body["retry_after_ms"] <= DAY_S * 1000
    await server.passes(DAY_S)
    again = await ann.asks(ben)
    assert again["state"] == "pending" and again["room_id"] == asked["room_id"]
    await ben.accepts(ann)


async def test_a_request_is_taken_back_or_ignored(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    asked = await ann.asks(ben)
    await ben.answers(asked["request_id"], "ignore")
    assert await ben.requests(state="pending") == []
    assert [each["state"] for each in await ben.requests()] == ["ignored"]
    assert [each["state"] for each in await ann.requests("out")] == ["pending"]
    with refused("M_NOT_FOUND", 404):
        await cat.answers(asked["request_id"], "accept")
    with refused("M_NOT_FOUND", 404):
        await ann.answers(asked["request_id"], "accept")
    await ann.answers(asked["request_id"], "cancel")
    assert [each["state"] for each in await ben.requests()] == ["cancelled"]


async def test_a_request_runs_out(make_server: ServerFactory) -> None:
    server = make_server(im={"request_lifetime": "1h"})
    ann, ben = ImUser(await server.user("ann")), ImUser(await server.user("ben"))
    asked = await ann.asks(ben)
    await server.passes(3601)
    assert [each["state"] for each in await ben.requests()] == ["expired"]
    with refused("IM_REQUEST_EXPIRED", 410):
        await ben.answers(asked["request_id"], "accept")
    await server.passes(7200)
    # The sender's server has taken the invitation back.
    assert (await ann.stock.members(asked["room_id"]))[ben.user_id] == "leave"
    assert [each["state"] for each in await ann.requests("out")] == ["expired"]


async def test_a_stock_client_accepts_and_its_user_is_a_friend(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben, "hello")
    await ben.stock.sees(asked["room_id"], membership="invite")
    await ben.stock.joins(asked["room_id"])
    assert await ann.friends() == [ben.user_id]
    assert await ben.friends() == [ann.user_id]


async def test_a_stock_client_asks_and_parts(ann: ImUser, ben: ImUser) -> None:
    room = await ann.stock.creates_room(inviting=ben.stock, is_direct=True, preset="trusted_private_chat")
    (asked,) = await ben.requests()
    assert asked["room_id"] == room
    await ben.answers(asked["request_id"], "accept")
    assert await ann.friends() == [ben.user_id]
    await ann.stock.leaves(room)
    assert await ben.friends() == []
    # An invitation to a room of many is no request.
    await ann.stock.creates_room(inviting=ben.stock)
    assert [each["state"] for each in await ben.requests()] == ["accepted"]


async def test_parting_keeps_what_was_said_and_whoever_left_knocks(ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    await ann.stock.says(room, "remember this")
    await ann.parts_from(ben)
    assert await ben.friends() == []
    with refused("M_NOT_FOUND", 404):
        await ann.parts_from(ben)
    again = await ann.asks(ben, "sorry")
    assert again["room_id"] == room
    (asked,) = await ben.requests(state="pending")
    assert asked["message"] == "sorry"
    await ben.answers(asked["request_id"], "accept")
    assert await ann.friends() == [ben.user_id]
    await ann.stock.sees(room, "remember this")
    levels = await ann.stock.state(room, "m.room.power_levels")
    assert levels["users"] == {ben.user_id: 100, ann.user_id: 50}


async def test_who_stayed_can_refuse_the_one_who_left(ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    await ann.parts_from(ben)
    asked = await ann.asks(ben)
    await ben.answers(asked["request_id"], "reject")
    assert [each["state"] for each in await ann.requests("out", state="rejected")] == ["rejected"]
    with refused("IM_REQUEST_TOO_SOON"):
        await ann.asks(ben)
    # Whoever stayed may ask at once, into the same room.
    assert (await ben.asks(ann))["room_id"] == room
    await ann.accepts(ben)
    assert await ben.friends() == [ann.user_id]


async def test_when_both_have_left_a_new_room_names_the_old_one(ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    await ann.parts_from(ben)
    await ben.stock.leaves(room)
    again = await ben.asks(ann)
    assert again["room_id"] != room
    created = await ben.stock.state(again["room_id"], "m.room.create")
    assert created["predecessor"]["room_id"] == room


async def test_categories(ann: ImUser, ben: ImUser) -> None:
    await ann.befriends(ben)
    made = await ann.call("POST", "/friends/categories", {"name": "Work"})
    friend = await ann.call("PATCH", f"/friends/{ben.user_id}", {"category_id": made["id"], "remark": "B"})
    assert (friend["category_id"], friend["remark"]) == (made["id"], "B")
    assert await ann.friends(category=made["id"]) == [ben.user_id]
    assert await ann.friends(category="default") == []
    await ann.call("PATCH", f"/friends/categories/{made['id']}", {"name": "Office"})
    categories = (await ann.call("GET", "/friends/categories"))["items"]
    assert [each["name"] for each in categories] == ["", "Office"]
    with refused("M_INVALID_PARAM", 400):
        await ann.call("DELETE", "/friends/categories/default")
    with refused("M_NOT_FOUND", 404):
        await ann.call("PATCH", f"/friends/{ben.user_id}", {"category_id": "c_none"})
    await ann.call("DELETE", f"/friends/categories/{made['id']}")
    assert await ann.friends(category="default") == [ben.user_id]


async def test_blocking_is_silent_and_refuses_requests(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    await ann.befriends(ben)
    await cat.asks(ann)
    await ann.call("PUT", f"/blocks/{ben.user_id}")
    await ann.call("PUT", f"/blocks/{cat.user_id}")
    assert [each["state"] for each in await cat.requests("out")] == ["rejected"]
    blocked = (await ann.call("GET", "/blocks", friends_only=True))["items"]
    assert [each["user_id"] for each in blocked] == [ben.user_id]
    assert await ann.friends() == [ben.user_id]
    await ann.stock.syncs()
    ignored = ann.stock.client.account_data["m.ignored_user_list"]["ignored_users"]
    assert sorted(ignored) == [ben.user_id, cat.user_id]
    await ann.call("DELETE", f"/blocks/{cat.user_id}")
    assert len((await ann.call("GET", "/blocks"))["items"]) == 1


async def test_friends_in_common_and_in_pages(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    for friend in (ben, cat):
        await ann.befriends(friend)
    await ben.befriends(cat)
    mutual = await ann.call("GET", f"/friends/{ben.user_id}/mutual")
    assert [each["user_id"] for each in mutual["items"]] == [cat.user_id] and mutual["complete"]
    first = await ann.call("GET", "/friends", limit=1)
    rest = await ann.call("GET", "/friends", limit=1, from_=first["next_batch"])
    assert [each["user_id"] for each in first["items"] + rest["items"]] == [ben.user_id, cat.user_id]
    assert "next_batch" not in rest
    with refused("M_INVALID_PARAM", 400):
        await ann.call("GET", "/friends", from_="nonsense")


async def test_nobody_asks_themselves_or_nobody(ann: ImUser) -> None:
    with refused("M_INVALID_PARAM", 400):
        await ann.asks(ann)
    with refused("M_NOT_FOUND", 404):
        await ann.asks("@nobody:one.test")
    with refused("M_INVALID_PARAM", 400):
        await ann.asks("@cat:one.test", "x" * 256)
