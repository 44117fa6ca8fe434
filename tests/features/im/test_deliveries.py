"""Sent, delivered, read: what a message's sender is told of where it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.features.federation.conftest import MakeServer, make_peer, network, one, two
from tests.harness.client import segment
from tests.harness.im_stream import follows
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.server import Server

__all__ = ["make_peer", "network", "one", "two"]


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


async def status(user: ImUser, sent: dict[str, Any]) -> dict[str, Any]:
    return await user.call("GET", f"/messages/{sent['event_id']}/status")


async def test_a_sync_from_beyond_a_message_says_that_it_has_come(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    await ben.stock.syncs()
    anns = await follows(server, ann)
    sent = await ann.says(room, "hello")
    await ben.stock.syncs()
    assert (await status(ann, sent))["state"] == "sent"
    await ben.stock.syncs()
    delivery = await anns.hears("delivery", cid=room, user_id=ben.user_id)
    assert (delivery["event_id"], delivery["seq"]) == (sent["event_id"], sent["seq"])
    assert await status(ann, sent) == {"state": "delivered", "delivered_to": [ben.user_id], "read_by": []}
    later = await ann.says(room, "and this?")
    assert (await status(ann, later))["state"] == "sent"


async def test_sliding_sync_and_updates_say_so_too(ann: ImUser, ben: ImUser, room: str) -> None:
    since = (await ben.stock.syncs())["next_batch"]
    first = await ann.says(room, "one")
    since = (await ben.call("GET", "/updates", since=since, timeout=0))["next_batch"]
    await ben.call("GET", "/updates", since=since, timeout=0)
    assert (await status(ann, first))["state"] == "delivered"
    second = await ann.says(room, "two")
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    body: dict[str, Any] = {"lists": {}}
    pos = (await ben.stock.request("POST", path, body))["pos"]
    await ben.stock.request("POST", path, body, query={"pos": pos})
    assert (await status(ann, second))["state"] == "delivered"


async def test_what_waited_through_a_restart_is_told_as_well(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    await ben.stock.syncs()
    sent = await ann.says(room, "hello")
    await ben.stock.syncs()
    await server.restarts()
    assert (await status(ann, sent))["state"] == "sent"
    await ben.stock.syncs()
    assert (await status(ann, sent))["state"] == "delivered"


async def test_in_a_group_it_counts_when_all_have_it(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser
) -> None:
    people = [ben.user_id, cat.user_id]
    gid = (await ann.call("POST", "/groups", {"name": "Tea", "members": people}))["gid"]
    for each in (ben, cat):
        await each.stock.joins(gid)
    first, second = await ann.says(gid, "one"), await ben.says(gid, "two")
    await cat.call("POST", f"/conversations/{segment(gid)}/delivered", {"seq": second["seq"]})
    # The watermark stands at Ben's message; Ann's, before it, has come as well, and she hears of it.
    assert await status(ann, first) == {"state": "sent", "delivered_to": [cat.user_id], "read_by": []}
    await ben.call("POST", f"/conversations/{segment(gid)}/delivered", {"seq": first["seq"]})
    await cat.reads(gid)
    assert await status(ann, first) == {
        "state": "delivered",
        "delivered_to": sorted(people),
        "read_by": [cat.user_id],
    }
    readers = (await ann.call("GET", f"/messages/{first['event_id']}/readers"))["items"]
    assert [reader["user_id"] for reader in readers] == [cat.user_id]


async def test_private_receipts_tell_nobody(ann: ImUser, ben: ImUser, room: str) -> None:
    await ben.stock.keeps("im.hearth.settings", {"read_receipts": False})
    sent = await ann.says(room, "hello")
    assert (await ben.reads(room))["unread"] == 0
    assert (await status(ann, sent))["read_by"] == []
    assert (await ann.call("GET", f"/messages/{sent['event_id']}/readers"))["items"] == []


async def test_the_watermark_never_goes_back(ann: ImUser, ben: ImUser, room: str) -> None:
    first, second = await ann.says(room, "one"), await ann.says(room, "two")
    for sent in (second, first):
        await ben.call("POST", f"/conversations/{segment(room)}/delivered", {"seq": sent["seq"]})
    assert (await status(ann, second))["state"] == "delivered"


async def across(one: Server, two: Server) -> tuple[ImUser, ImUser, str]:
    ann, ben = ImUser(await one.user("ann")), ImUser(await two.user("ben"))
    room = await ann.stock.creates_room(inviting=ben.stock, is_direct=True)
    await ben.stock.sees(room, membership="invite")
    await ben.stock.joins(room)
    await ann.stock.sees(room, member={ben.stock: "join"})
    return ann, ben, room


async def test_the_senders_server_is_told_and_no_other(one: Server, two: Server, network: Network) -> None:
    ann, ben, room = await across(one, two)
    anns = await follows(one, ann)
    sent = await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    await ben.stock.syncs()
    delivery = await anns.hears("delivery", cid=room, user_id=ben.user_id)
    assert delivery["event_id"] == sent["event_id"]
    assert (await status(ann, sent))["state"] == "delivered"
    told = [request for _, request in network.requests if b"im.hearth.delivery" in (request.body or b"")]
    assert [request.destination for request in told] == ["one.test"]


async def test_a_server_speaks_for_its_own_users_only(one: Server, two: Server) -> None:
    ann, ben, room = await across(one, two)
    sent = await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    receive = one.homeserver.services.im.talk.deliveries.receive
    mark = {"event_id": sent["event_id"], "ts": 1}
    for origin, user in (
        ("three.test", ben.user_id),
        ("two.test", ann.user_id),
        ("two.test", "@eve:two.test"),
    ):
        await receive(origin, {room: {user: mark}})  # type: ignore[arg-type]  # a name as it comes
    await receive("two.test", {room: {ben.user_id: {"event_id": "$unknown", "ts": 1}}})  # type: ignore[arg-type]  # as above
    assert (await status(ann, sent))["state"] == "sent"


def test_nobody_is_told_where_the_operator_says_so(make_peer: MakeServer, network: Network) -> None:
    one, two = make_peer("one.test"), make_peer("two.test", im={"delivered_receipts": False})
    two.drive(check_silence(one, two, network))


async def check_silence(one: Server, two: Server, network: Network) -> None:
    ann, ben, room = await across(one, two)
    await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    await ben.stock.syncs()
    await two.passes(5)
    assert not any(b"im.hearth.delivery" in (request.body or b"") for _, request in network.requests)
