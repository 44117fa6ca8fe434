"""Conversations on two servers, followed over the IM API's sockets: each hears at once what the other does."""

from __future__ import annotations

from tests.features.im.across.test_friends import become_friends
from tests.harness.im_stream import follows
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server

OFFER = {"type": "offer", "sdp": "v=0"}
ANSWER = {"type": "answer", "sdp": "v=0"}


async def test_friendship_is_heard_on_both_sides(one: Server, two: Server, ann: ImUser, ben: ImUser) -> None:
    anns, bens = await follows(one, ann), await follows(two, ben)
    asked = await ann.asks(ben, "it is me")
    heard = await bens.hears("friend.request", direction="in")
    assert (heard["request_id"], heard["user_id"]) == (asked["request_id"], ann.user_id)
    await ben.answers(asked["request_id"], "accept")
    assert (await anns.hears("friend.accepted"))["user_id"] == ben.user_id
    assert (await bens.hears("friend.accepted"))["user_id"] == ann.user_id
    await ann.parts_from(ben)
    assert (await bens.hears("friend.removed"))["user_id"] == ann.user_id


async def test_whatever_is_said_and_changed_is_heard(
    one: Server, two: Server, ann: ImUser, ben: ImUser
) -> None:
    room = await become_friends(ann, ben)
    anns, bens = await follows(one, ann), await follows(two, ben)
    sent = await ann.says(room, "helo")
    path = f"/messages/{sent['event_id']}"
    heard = await bens.hears("message", event_id=sent["event_id"])
    # Numbers are each server's own; the event's ID is the same everywhere.
    assert heard["message"]["body"] == "helo" and heard["seq"] == (await ben.call("GET", path))["seq"]
    await bens.does("typing", cid=room)
    assert (await anns.hears("typing", cid=room))["user_ids"] == [ben.user_id]
    await bens.does("ack", cid=room, seq=heard["seq"])
    assert (await anns.hears("delivery", cid=room))["seq"] == sent["seq"]
    await bens.does("read", cid=room)
    assert (await anns.hears("receipt", user_id=ben.user_id))["seq"] == sent["seq"]
    assert (await ann.call("GET", f"{path}/status"))["state"] == "read"
    await ann.call("PATCH", path, {"body": "hello"})
    assert (await bens.hears("edit", event_id=sent["event_id"]))["message"]["body"] == "hello"
    await ben.call("POST", f"{path}/reactions", {"key": "👋"})
    assert (await anns.hears("reaction", event_id=sent["event_id"]))["key"] == "👋"
    await ann.call("PUT", f"{path}/recall")
    assert (await bens.hears("recall", event_id=sent["event_id"]))["message"]["recalled"]
    with refused("M_FORBIDDEN", 403):
        await ben.call("PUT", f"{path}/recall")


async def test_calls_ring_on_the_other_server(one: Server, two: Server, ann: ImUser, ben: ImUser) -> None:
    room = await become_friends(ann, ben)
    anns, bens = await follows(one, ann), await follows(two, ben)
    begun = await anns.does("call.invite", cid=room, offer=OFFER)
    assert (await bens.hears("call.invite"))["call_id"] == begun["call_id"]
    answered = await bens.does("call.answer", call_id=begun["call_id"], answer=ANSWER)
    assert answered["type"] == "ok", answered
    await anns.hears("call.answer")
    candidates = [{"candidate": "candidate:1", "sdpMid": "0"}]
    await anns.does("call.candidates", call_id=begun["call_id"], candidates=candidates)
    assert (await bens.hears("call.candidates"))["content"]["candidates"] == candidates
    await bens.does("call.hangup", call_id=begun["call_id"])
    await anns.hears("call.hangup")


async def test_a_message_to_an_ended_friendship_is_refused_on_both_sides(ann: ImUser, ben: ImUser) -> None:
    room = await become_friends(ann, ben)
    await ann.says(room, "hello")
    await ben.stock.sees(room, "hello")
    await ben.parts_from(ann)
    await ann.stock.sees(room, member={ben.stock: "leave"})
    for person in (ann, ben):
        with refused("IM_NOT_FRIEND", 403):
            await person.says(room, "are you there?")
    assert (await ann.history(room))["items"][-1]["type"] == "member"
