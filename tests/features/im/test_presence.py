"""Presence: friends see who is there; whoever is invisible is offline to everybody, and misses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.fixtures import ServerFactory
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server


async def is_shown(person: ImUser, viewer: ImUser) -> str:
    """How somebody is shown to a friend, alike wherever the friend looks."""
    one = (await viewer.call("GET", f"/users/{person.user_id}/presence"))["status"]
    asked = await viewer.call("POST", "/presence/query", {"user_ids": [person.user_id]})
    assert [item["status"] for item in asked["items"]] == [one]
    friends = (await viewer.call("GET", "/friends/presence"))["items"]
    assert {item["user_id"]: item["status"] for item in friends}[person.user_id] == one
    assert (await viewer.call("GET", f"/friends/{person.user_id}"))["presence"]["status"] == one
    return str(one)


async def follows(person: ImUser, **query: Any) -> None:
    """A stock client of the person asks for news."""
    await person.stock.syncs(**query)


async def test_friends_see_who_is_there(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    await ann.befriends(ben)
    assert await is_shown(ann, ben) == "offline"
    await ann.call("PUT", "/users/me/presence", {"status": "online", "message": "here I am"})
    assert await is_shown(ann, ben) == "online"
    assert (await ben.call("GET", f"/users/{ann.user_id}/presence"))["message"] == "here I am"
    # It is no one else's business.
    with refused("M_FORBIDDEN", 403):
        await cat.call("GET", f"/users/{ann.user_id}/presence")
    assert (await cat.call("POST", "/presence/query", {"user_ids": [ann.user_id]}))["items"] == []
    assert "presence" not in await cat.call("GET", f"/users/{ann.user_id}")
    await cat.asks(ann)
    assert "presence" not in (await cat.requests("out"))[0]["user"]


@pytest.mark.parametrize(("status", "stock"), [("away", "unavailable"), ("busy", "unavailable")])
async def test_away_and_busy_stand_over_what_devices_say(
    ann: ImUser, ben: ImUser, status: str, stock: str
) -> None:
    await ann.befriends(ben)
    await ann.call("PUT", "/users/me/presence", {"status": status})
    await follows(ann, set_presence="online")
    assert await is_shown(ann, ben) == status
    seen = await ben.stock.request("GET", f"/presence/{ann.user_id}/status")
    assert seen["presence"] == stock
    await ann.call("PUT", "/users/me/presence", {"status": "online"})
    assert await is_shown(ann, ben) == "online"


@pytest.mark.parametrize("status", ["invisible", "offline"])
async def test_who_hides_is_offline_to_everybody(
    server: Server, ann: ImUser, ben: ImUser, status: str
) -> None:
    room = await ann.befriends(ben)
    await follows(ann)
    await follows(ben)
    assert await is_shown(ann, ben) == "online"
    seen = await ben.stock.request("GET", f"/presence/{ann.user_id}/status")
    await ann.call("PUT", "/users/me/presence", {"status": status})
    # Neither a stock client's wish, nor its poll, nor a message shows them again.
    await follows(ann, set_presence="online")
    await ann.stock.request("PUT", f"/presence/{ann.user_id}/status", {"presence": "online"})
    await server.passes(10)
    await ann.says(room, "boo")
    await follows(ann)
    assert await is_shown(ann, ben) == "offline"
    hidden = await ben.stock.request("GET", f"/presence/{ann.user_id}/status")
    assert hidden["presence"] == "offline"
    # When they were last active is the moment at which they hid.
    assert hidden["last_active_ago"] >= seen["last_active_ago"] + 10_000
    assert ben.stock.client.presence[ann.user_id]["presence"] != "offline"
    await follows(ben)
    assert ben.stock.client.presence[ann.user_id]["presence"] == "offline"
    # They hear everything all the same.
    await ben.says(room, "who is there?")
    await ann.stock.sees(room, "who is there?")
    assert (await ann.call("GET", "/users/me"))["presence_mode"] == status
    await ann.call("PUT", "/users/me/presence", {"status": "online"})
    assert await is_shown(ann, ben) == "online"


async def test_who_is_invisible_neither_types_nor_reads_for_others(ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    said = await ben.says(room, "hello")
    await ben.stock.syncs()
    await ann.call("PUT", "/users/me/presence", {"status": "invisible"})
    await ann.stock.types_in(room)
    await ann.stock.reads(room, said["event_id"])
    await ben.says(room, "hello?")
    await ben.stock.syncs()
    known = ben.stock.client.rooms[room]
    assert known.typing == []
    assert ("m.read", ann.user_id, None) not in known.receipts
    await ann.stock.syncs()
    assert ann.stock.client.rooms[room].receipts["m.read.private", ann.user_id, None] == said["event_id"]
    # Who only says to be offline does.
    await ann.call("PUT", "/users/me/presence", {"status": "offline"})
    await ann.stock.types_in(room)
    await ben.stock.sees(room, typing=[ann.stock])


async def test_hiding_outlives_a_restart(server: Server, ann: ImUser, ben: ImUser) -> None:
    await ann.befriends(ben)
    await ann.call("PUT", "/users/me/presence", {"status": "invisible", "message": "unseen"})
    await server.restarts()
    await follows(ann)
    assert await is_shown(ann, ben) == "offline"
    # Account data is where it is kept: a stock client may change it.
    await ann.stock.keeps("im.hearth.presence", {"mode": "online"})
    await follows(ann)
    assert await is_shown(ann, ben) == "online"


async def test_what_one_does_shows_that_one_is_there(server: Server, ann: ImUser, ben: ImUser) -> None:
    room = await ann.befriends(ben)
    await follows(ann)
    for _ in range(12):
        await server.passes(30)
        await follows(ann, timeout=0)
    assert await is_shown(ann, ben) == "away"
    await ann.says(room, "still here")
    assert await is_shown(ann, ben) == "online"


async def test_a_server_whose_presence_is_for_all_in_a_room(make_server: ServerFactory) -> None:
    server = make_server(im={"presence_scope": "rooms"})
    ann, ben, cat = [ImUser(person) for person in await server.users("ann", "ben", "cat")]
    room = await ann.stock.creates_room(inviting=ben.stock)
    await ben.stock.joins(room)
    await ann.call("PUT", "/users/me/presence", {"status": "online"})
    assert (await ben.call("GET", f"/users/{ann.user_id}/presence"))["status"] == "online"
    with refused("M_FORBIDDEN", 403):
        await cat.call("GET", f"/users/{ann.user_id}/presence")


@pytest.mark.parametrize(
    ("method", "path", "body", "errcode"),
    [
        ("PUT", "/users/me/presence", {"status": "gone"}, "M_BAD_JSON"),
        ("PUT", "/users/me/presence", {"status": "online", "message": "x" * 257}, "M_INVALID_PARAM"),
        ("POST", "/presence/query", {"user_ids": ["nobody"]}, "M_INVALID_PARAM"),
        ("POST", "/presence/query", {"user_ids": ["@a:one.test"] * 101}, "M_BAD_JSON"),
        ("GET", "/users/nobody/presence", None, "M_INVALID_PARAM"),
    ],
)
async def test_what_presence_cannot_be(ann: ImUser, method: str, path: str, body: Any, errcode: str) -> None:
    with refused(errcode, 400):
        await ann.call(method, path, body)
