"""Friends on two servers: they ask, cross, part and come back, and both servers agree without a word of their own."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from tests.features.federation.conftest import MakeServer
from tests.harness.im_user import ImUser
from tests.harness.network import Network
from tests.harness.refusals import refused
from tests.harness.server import Server

DAY_S = 24 * 60 * 60


async def become_friends(one: ImUser, other: ImUser) -> str:
    """Ask and be accepted; both servers know of it."""
    await one.asks(other)
    await other.sees_request(one)
    room = await other.accepts(one)
    await one.sees_friends(other)
    await other.sees_friends(one)
    return room


async def test_they_ask_accept_and_talk(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben, "it is me", remark="Benny")
    seen = await ben.sees_request(ann)
    assert (seen["request_id"], seen["message"], seen["user"]["user_id"]) == (
        asked["request_id"],
        "it is me",
        ann.user_id,
    )
    room = await ben.accepts(ann)
    assert room == asked["room_id"]
    await ann.sees_friends(ben)
    await ben.sees_friends(ann)
    await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    assert (await ben.history(room))["items"][-1]["body"] == "hello"
    assert await ben.unread(room) == 1
    with refused("IM_ALREADY_FRIEND", 409):
        await ben.asks(ann)
    for person in (ann, ben):
        await person.stock.syncs()
        other = ben if person is ann else ann
        assert person.stock.client.account_data["m.direct"] == {other.user_id: [room]}


async def test_asking_back_is_accepting(ann: ImUser, ben: ImUser) -> None:
    await ann.asks(ben)
    await ben.sees_request(ann)
    assert (await ben.asks(ann))["state"] == "accepted"
    await ann.sees_friends(ben)


async def test_requests_that_cross_make_one_friendship(one: Server, ann: ImUser, ben: ImUser) -> None:
    for _ in range(2):
        crossing = [Deferred.fromCoroutine(each) for each in (ann.asks(ben), ben.asks(ann))]
        await gatherResults(crossing)
    await ann.sees_friends(ben)
    await ben.sees_friends(ann)
    await one.passes(60)
    (mine,) = (await ann.call("GET", "/friends"))["items"]
    (theirs,) = (await ben.call("GET", "/friends"))["items"]
    assert mine["room_id"] == theirs["room_id"]
    # The other room is given up, so nobody has two conversations with one friend.
    for person in (ann, ben):
        assert await person.requests(state="pending") == []
        assert await person.requests("out", state="pending") == []
        assert [each["cid"] for each in await person.conversations()] == [mine["room_id"]]


async def test_who_is_refused_waits_a_day(one: Server, ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben)
    await ben.sees_request(ann)
    await ben.answers(asked["request_id"], "reject", reason="who are you?")
    await ann.sees_requests("rejected", direction="out")
    with refused("IM_REQUEST_TOO_SOON", 429):
        await ann.asks(ben)
    # A stock client does not know of the day; the other server does.
    with refused("M_LIMIT_EXCEEDED"):
        await ann.stock.creates_room(inviting=ben.stock, is_direct=True)
    # To a group they may be invited all the same.
    group = await ann.stock.creates_room(inviting=ben.stock, name="Not a friendship")
    await ben.stock.sees(group, membership="invite")
    await one.passes(DAY_S)
    again = await ann.asks(ben)
    assert (again["state"], again["room_id"]) == ("pending", asked["room_id"])
    await ben.sees_request(ann)
    await ben.accepts(ann)
    await ann.sees_friends(ben)


async def test_a_request_is_taken_back(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben)
    await ben.sees_request(ann)
    await ann.answers(asked["request_id"], "cancel")
    await ben.sees_requests("cancelled")
    with refused("IM_REQUEST_HANDLED", 409):
        await ben.answers(asked["request_id"], "accept")


async def test_a_request_runs_out(make_peer: MakeServer, ben: ImUser) -> None:
    one = make_peer("one.test", im={"request_lifetime": "1h"})
    ann = ImUser(await one.user("ann"))
    asked = await ann.asks(ben)
    await ben.sees_request(ann)
    await one.passes(3601)
    await ben.sees_requests("expired")
    with refused("IM_REQUEST_EXPIRED", 410):
        await ben.answers(asked["request_id"], "accept")
    await one.passes(7200)
    await ann.sees_requests("expired", direction="out")
    assert (await ann.stock.members(asked["room_id"]))[ben.user_id] == "leave"


async def test_whoever_left_knocks_and_comes_back(ann: ImUser, ben: ImUser) -> None:
    room = await become_friends(ann, ben)
    await ann.says(room, "remember this")
    await ben.stock.sees(room, "remember this")
    await ann.parts_from(ben)
    await ben.sees_friends()
    assert await ann.friends() == []
    again = await ann.asks(ben, "sorry")
    assert again["room_id"] == room
    seen = await ben.sees_request(ann)
    assert seen["message"] == "sorry"
    await ben.accepts(ann)
    await ann.sees_friends(ben)
    await ben.sees_friends(ann)
    # Before what her server has missed there is a gap: she pages back over it.
    chunk = (await ann.stock.messages(room, limit=50))["chunk"]
    assert "remember this" in [event["content"].get("body") for event in chunk]
    await ben.says(room, "welcome back")
    await ann.stock.sees(room, "welcome back")
    levels = await ben.stock.state(room, "m.room.power_levels")
    assert levels["users"] == {ben.user_id: 100, ann.user_id: 50}


async def test_who_stayed_refuses_the_knock(ann: ImUser, ben: ImUser) -> None:
    room = await become_friends(ann, ben)
    await ann.parts_from(ben)
    await ben.sees_friends()
    asked = await ann.asks(ben)
    await ben.sees_request(ann)
    await ben.answers(asked["request_id"], "reject")
    await ann.sees_requests("rejected", "accepted", direction="out")
    with refused("IM_REQUEST_TOO_SOON", 429):
        await ann.asks(ben)
    # Whoever stayed may ask at once, into the same room.
    assert (await ben.asks(ann))["room_id"] == room
    await ann.sees_request(ben)
    await ann.accepts(ben)
    await ben.sees_friends(ann)


async def test_when_both_have_left_a_new_room_names_the_old_one(ann: ImUser, ben: ImUser) -> None:
    room = await become_friends(ann, ben)
    await ann.parts_from(ben)
    await ben.sees_friends()
    await ben.stock.leaves(room)
    # Ann's server has heard nothing of the room since she left; it finds out that nobody is there.
    again = await ann.asks(ben)
    assert again["room_id"] != room
    created = await ann.stock.state(again["room_id"], "m.room.create")
    assert created["predecessor"]["room_id"] == room
    await ben.sees_request(ann)
    await ben.accepts(ann)
    await ann.sees_friends(ben)


async def test_nobody_else_knocks_on_the_room_of_two(
    ann: ImUser, ben: ImUser, bea: ImUser, abe: ImUser
) -> None:
    room = await become_friends(ann, ben)
    for stranger in (bea, abe):
        with refused("M_FORBIDDEN", 403):
            await stranger.stock.knocks(room, via=["one.test"])
    assert set(await ann.stock.members(room)) == {ann.user_id, ben.user_id}


async def test_who_wants_no_requests_gets_none(ann: ImUser, ben: ImUser) -> None:
    await ben.stock.keeps("m.invite_permission_config", {"default_action": "block"})
    with refused("M_INVITE_BLOCKED", 403):
        await ann.asks(ben)
    assert await ann.requests("out") == []


async def test_nobody_of_another_server_is_nobody(ann: ImUser, two: Server) -> None:
    with refused("M_NOT_FOUND", 404):
        await ann.asks(f"@nobody:{two.name}")
    assert await ann.requests("out") == []
    assert await ann.conversations() == []


async def test_a_server_that_cannot_be_reached_leaves_nothing_behind(
    one: Server, ann: ImUser, ben: ImUser, network: Network
) -> None:
    network.cut("one.test", "two.test")
    with refused("M_UNKNOWN", 502):
        await ann.asks(ben)
    assert await ann.conversations() == []
    network.heal()
    await one.passes(3600)
    await ann.asks(ben)
    await ben.sees_request(ann)


async def test_friends_in_common_across_servers(ann: ImUser, ben: ImUser, bea: ImUser, abe: ImUser) -> None:
    await become_friends(ann, ben)
    await ann.befriends(abe)
    await ben.asks(abe)
    await abe.sees_request(ben)
    await abe.accepts(ben)
    await ben.sees_friends(abe, ann)
    # Whoever reads Ben's moments is his friend, and Ann reads them too.
    await ann.sees_mutual(ben, abe)
    strangers = await bea.call("GET", f"/friends/{ann.user_id}/mutual")
    assert strangers == {"items": [], "complete": False}


async def test_a_redacted_request_parts_nobody_on_one_side_only(ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben)
    await ben.sees_request(ann)
    for event in (await ann.stock.messages(asked["room_id"]))["chunk"]:
        if event["type"] == "m.room.member" and event["state_key"] == ben.user_id:
            await ann.stock.redacts(asked["room_id"], event["event_id"])
    await ben.accepts(ann)
    await ben.sees_friends(ann)
    await ann.sees_friends(ben)
