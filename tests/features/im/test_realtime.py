"""The realtime stream: what is told, over a socket and by polls, and that nothing is lost between them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.harness.im_stream import ImSocket, Poller, follows
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


async def test_messages_come_with_their_numbers(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    socket = await follows(server, ben)
    sent = await ann.says(room, "hello", client_msg_id="m1")
    frame = await socket.hears("message", cid=room)
    assert (frame["seq"], frame["event_id"]) == (sent["seq"], sent["event_id"])
    assert frame["message"]["body"] == "hello" and frame["message"]["type"] == "text"
    await ann.stock.says(room, "from a stock client")
    frame = await socket.hears("message")
    assert (frame["message"]["body"], frame["seq"]) == ("from a stock client", sent["seq"] + 1)


async def test_ones_own_devices_hear_it_too_and_the_sender_knows_it_again(
    server: Server, ann: ImUser, room: str
) -> None:
    socket = await follows(server, ann)
    other = await follows(server, ImUser(await server.logs_in(ann.stock)))
    await ann.says(room, "hello", client_msg_id="m1")
    assert (await socket.hears("message"))["message"]["client_msg_id"] == "m1"
    assert "client_msg_id" not in (await other.hears("message"))["message"]


async def test_changes_of_messages(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    sent = await ann.says(room, "helo")
    event_id, path = sent["event_id"], f"/messages/{sent['event_id']}"
    socket = await follows(server, ben)
    await ann.call("PATCH", path, {"body": "hello"})
    edit = await socket.hears("edit", event_id=event_id, seq=sent["seq"])
    assert edit["message"]["body"] == "hello"
    reacted = await ann.call("POST", f"{path}/reactions", {"key": "👍"})
    reaction = await socket.hears("reaction", event_id=event_id)
    assert (reaction["key"], reaction["user_id"]) == ("👍", ann.user_id)
    await ann.call("DELETE", f"{path}/reactions/{reacted['reaction_id']}")
    await socket.hears("reaction", reaction_id=reacted["reaction_id"], removed=True)
    await ann.call("PUT", f"{path}/recall")
    recall = await socket.hears("recall", event_id=event_id, seq=sent["seq"], by=ann.user_id)
    assert recall["message"]["recalled"]


async def test_who_reads_who_types_and_what_has_come(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    anns, bens = await follows(server, ann), await follows(server, ben)
    sent = await ann.says(room, "hello")
    await bens.hears("message")
    assert (await bens.does("ack", cid=room, seq=sent["seq"]))["type"] == "ok"
    delivery = await anns.hears("delivery", cid=room)
    assert (delivery["user_id"], delivery["seq"]) == (ben.user_id, sent["seq"])
    assert (await bens.does("typing", cid=room))["type"] == "ok"
    assert (await anns.hears("typing", cid=room))["user_ids"] == [ben.user_id]
    read = await bens.does("read", cid=room, seq=sent["seq"])
    assert (read["type"], read["unread"]) == ("ok", 0)
    receipt = await anns.hears("receipt", cid=room)
    assert (receipt["user_id"], receipt["seq"]) == (ben.user_id, sent["seq"])
    # One's other devices hear that there is nothing unread any more.
    updated = await bens.hears("conversation.updated", cid=room)
    assert updated["conversation"]["unread"] == 0


async def test_sending_over_the_socket_is_as_sending_over_rest(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    socket = await follows(server, ann)
    sent = await socket.does("send", cid=room, body="hello", client_msg_id="m1")
    by_rest = await ann.says(room, "another body", client_msg_id="m1")
    assert (by_rest["event_id"], by_rest["deduplicated"]) == (sent["event_id"], True)
    by_stock = await ann.stock.request(
        "PUT", f"/rooms/{room}/send/m.room.message/m1", {"msgtype": "m.text", "body": "a third"}
    )
    assert by_stock["event_id"] == sent["event_id"]
    to_friend = await socket.does("send", to_user_id=ben.user_id, type=1, body="hi")
    assert to_friend["seq"] == sent["seq"] + 1
    await ben.stock.sees(room, "hello", "hi")


async def test_one_token_serves_both_apis_and_both_transports(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    since = (await ben.stock.syncs())["next_batch"]
    await ann.says(room, "one")
    poller = Poller(ben, since)
    frames = await poller.polls()
    assert [frame["message"]["body"] for frame in frames if frame["type"] == "message"] == ["one"]
    await ann.says(room, "two")
    assert poller.since is not None
    socket = await follows(server, ben, since=poller.since)
    assert (await socket.hears("message"))["message"]["body"] == "two"
    await socket.hears("token")
    await ann.says(room, "three")
    synced = await ben.stock.syncs(since=socket.token)
    events = synced["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"]["body"] for event in events] == ["three"]
    assert await Poller(ben, synced["next_batch"]).polls() == []


async def test_to_device_messages_wait_for_whoever_reads_them(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    poller = Poller(ben, (await ben.stock.syncs())["next_batch"])
    messages = {ben.user_id: {ben.stock.device_id: {"n": 1}}}
    await ann.stock.request("PUT", "/sendToDevice/m.test/t1", {"messages": messages})
    await ann.says(room, "hello")
    assert [frame["type"] for frame in await poller.polls()] == ["message"]
    assert await poller.polls() == []
    synced = await ben.stock.syncs(since=poller.since)
    assert [event["content"] for event in synced["to_device"]["events"]] == [{"n": 1}]


async def test_a_poll_waits_for_news(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    poller = Poller(ben)
    assert await poller.polls() == []
    waiting = Deferred.fromCoroutine(poller.polls(timeout_ms=30_000))
    await server.passes(5)
    await ann.says(room, "hello")
    assert [frame["type"] for frame in await waiting] == ["message"]


async def test_many_messages_leave_a_gap_that_history_fills(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    poller = Poller(ben)
    await poller.polls()
    numbers = [(await ann.says(room, f"m{n}"))["seq"] for n in range(60)]
    frames = await poller.polls()
    (gap,) = [frame for frame in frames if frame["type"] == "gap"]
    told = [frame["seq"] for frame in frames if frame["type"] == "message"]
    assert told == numbers[-50:] and (gap["from_seq"], gap["to_seq"]) == (numbers[0], numbers[9])
    filled = await ben.history(room, after_seq=gap["from_seq"] - 1, limit=10)
    assert [item["seq"] for item in filled["items"]] == numbers[:10]


async def test_what_is_ones_own_reaches_ones_other_devices(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    sent = await ann.says(room, "secret")
    socket = await follows(server, ben)
    await ben.call("PATCH", f"/conversations/{room}", {"pinned": True, "draft": "dear"})
    while not (updated := await socket.hears("conversation.updated", cid=room))["conversation"]["draft"]:
        pass
    assert updated["conversation"]["pinned"]
    await ben.call("PATCH", f"/conversations/{room}", {"muted": "all"})
    assert (await socket.hears("conversation.updated", cid=None))["muted"] == {room: "all"}
    await ben.call("DELETE", f"/messages/{sent['event_id']}", scope="me")
    hidden = await socket.hears("message", seq=sent["seq"])
    assert hidden["message"]["hidden"] and "body" not in hidden["message"]
    await ben.call("PATCH", f"/friends/{ann.user_id}", {"remark": "Annie"})
    assert (await socket.hears("friend.updated"))["remark"] == "Annie"


async def test_friendship(server: Server, ann: ImUser, ben: ImUser) -> None:
    anns, bens = await follows(server, ann), await follows(server, ben)
    asked = await ann.asks(ben, "it is me")
    request = await bens.hears("friend.request", direction="in")
    assert (request["user_id"], request["message"]) == (ann.user_id, "it is me")
    assert request["request_id"] == asked["request_id"]
    assert (await anns.hears("friend.request", direction="out"))["user_id"] == ben.user_id
    await ben.answers(asked["request_id"], "accept")
    assert (await anns.hears("friend.accepted"))["user_id"] == ben.user_id
    assert (await bens.hears("friend.accepted"))["user_id"] == ann.user_id
    await ben.parts_from(ann)
    assert (await anns.hears("friend.removed"))["user_id"] == ben.user_id
    assert (await bens.hears("friend.removed"))["user_id"] == ann.user_id


async def test_who_is_blocked_is_not_heard(server: Server, ann: ImUser, ben: ImUser) -> None:
    await ben.call("PUT", f"/blocks/{ann.user_id}")
    bens = await follows(server, ben)
    await ann.stock.creates_room(inviting=ben.stock, is_direct=True)
    await ann.stock.creates_room(inviting=ben.stock, name="Club")
    await server.passes(1)
    assert (await bens.does("ping"))["type"] == "ok"
    kinds = {frame["type"] for frame in bens.kept}
    assert not kinds & {"friend.request", "group.invitation", "message"}


async def test_a_rejected_request(server: Server, ann: ImUser, ben: ImUser) -> None:
    asked = await ann.asks(ben)
    anns = await follows(server, ann)
    await ben.answers(asked["request_id"], "reject")
    assert (await anns.hears("friend.rejected"))["user_id"] == ben.user_id


async def test_groups(server: Server, ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    anns, bens = await follows(server, ann), await follows(server, ben)
    made = await ann.call(
        "POST", "/groups", {"name": "Tea", "members": [ben.user_id], "join_mode": "approval"}
    )
    gid = made["gid"]
    assert (await anns.hears("group.created"))["gid"] == gid
    invitation = await bens.hears("group.invitation", gid=gid)
    assert (invitation["name"], invitation["by"]) == ("Tea", ann.user_id)
    await ben.stock.joins(gid)
    assert (await anns.hears("group.member", user_id=ben.user_id, membership="join"))["gid"] == gid
    assert (await bens.hears("conversation.updated", cid=gid))["conversation"]["title"] == "Tea"
    await ann.call("PATCH", f"/groups/{gid}", {"name": "Tea and cake"})
    assert (await bens.hears("group.updated", gid=gid))["changed"] == ["name"]
    await ann.call("PATCH", f"/groups/{gid}/members/{ben.user_id}", {"role": "admin"})
    assert (await bens.hears("group.role", user_id=ben.user_id))["role"] == "admin"
    await ann.call("PUT", f"/groups/{gid}/mute", {"enabled": True})
    assert (await bens.hears("group.muted", gid=gid))["all"] is True
    await ann.call("PUT", f"/groups/{gid}/announcement", {"text": "At five"})
    assert len((await bens.hears("group.announcement", gid=gid))["pinned"]) == 1
    await cat.stock.knocks(gid)
    assert (await bens.hears("group.request", gid=gid))["user_id"] == cat.user_id
    await ann.call("DELETE", f"/groups/{gid}")
    await bens.hears("group.dissolved", gid=gid)


async def test_moments(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    bens = await follows(server, ben)
    made = await ann.call("POST", "/moments", {"text": "sunny", "visibility": "friends"})
    path = f"/moments/{made['moment_id']}"
    new = await bens.hears("moment.new", moment_id=made["moment_id"])
    assert new["user_id"] == ann.user_id
    anns = await follows(server, ann)
    await ben.call("PUT", f"{path}/like")
    assert (await anns.hears("moment.like", moment_id=made["moment_id"]))["user_id"] == ben.user_id
    await ben.call("POST", f"{path}/comments", {"body": "lovely"})
    await anns.hears("moment.comment", moment_id=made["moment_id"])
    await ann.call("DELETE", path)
    await bens.hears("moment.deleted", event_id=made["moment_id"])


async def test_calls_over_the_socket(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    anns, bens = await follows(server, ann), await follows(server, ben)
    offer = {"type": "offer", "sdp": "v=0"}
    begun = await anns.does("call.invite", cid=room, offer=offer, type="video")
    invite = await bens.hears("call.invite", call_id=begun["call_id"])
    assert invite["content"]["offer"] == offer and invite["sender"] == ann.user_id
    answer = {"type": "answer", "sdp": "v=0"}
    assert (await bens.does("call.answer", call_id=begun["call_id"], answer=answer))["type"] == "ok"
    assert (await anns.hears("call.answer"))["content"]["answer"] == answer
    await anns.is_refused("call.candidates", "M_INVALID_PARAM", call_id=begun["call_id"])
    await anns.does("call.hangup", call_id=begun["call_id"])
    ended = await bens.hears("call.hangup")
    await ann.says(room, "bye")
    assert (await bens.hears("message"))["seq"] == ended["seq"] + 1
    await ben.stock.sees(room, event=begun["event_id"])


async def test_presence_of_those_who_are_asked_for(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser, room: str
) -> None:
    await ben.befriends(cat)
    bens = await follows(server, ben)
    assert (await bens.does("sub", presence=[ann.user_id]))["type"] == "ok"
    await cat.stock.request("PUT", f"/presence/{cat.user_id}/status", {"presence": "unavailable"})
    await ann.stock.request("PUT", f"/presence/{ann.user_id}/status", {"presence": "unavailable"})
    seen = await bens.hears("presence")
    assert (seen["user_id"], seen["presence"]["status"]) == (ann.user_id, "away")
    await bens.is_refused("sub", "M_BAD_JSON", presence="everybody")


# The socket itself.


async def test_a_token_in_a_subprotocol_or_the_first_frame(server: Server, ann: ImUser, room: str) -> None:
    token = ann.stock.access_token
    offered = {"Sec-WebSocket-Protocol": f"im.hearth.v1, im.hearth.token.{token}"}
    by_subprotocol = ImSocket(server, offered)
    assert await by_subprotocol.is_answered() == 101
    assert b"Sec-WebSocket-Protocol: im.hearth.v1\r\n" in by_subprotocol.head + b"\r\n"
    await by_subprotocol.hears("token")
    by_frame = ImSocket(server)
    assert await by_frame.is_answered() == 101
    known = await by_frame.does("auth", token=token)
    assert (known["type"], known["user_id"]) == ("ok", ann.user_id)
    await by_frame.hears("token")
    assert (await by_frame.does("ping"))["type"] == "ok"


async def test_a_token_in_the_url_is_none(server: Server, ann: ImUser) -> None:
    socket = ImSocket(server, access_token=str(ann.stock.access_token))
    assert await socket.is_answered() == 101
    await socket.is_refused("ping", "M_MISSING_TOKEN")
    assert await socket.is_closed() == 4001


async def test_nobody_is_waited_for_long(server: Server) -> None:
    socket = ImSocket(server)
    assert await socket.is_answered() == 101
    await server.passes(11)
    assert await socket.is_closed() == 4001


async def test_wrong_tokens_and_handshakes(server: Server, ann: ImUser) -> None:
    wrong = ImSocket(server, {"Authorization": "Bearer nobody"})
    assert await wrong.is_answered() == 401
    by_frame = ImSocket(server)
    await by_frame.is_answered()
    await by_frame.is_refused("auth", "M_UNKNOWN_TOKEN", token="nobody")
    assert await by_frame.is_closed() == 4001
    bearer = {"Authorization": f"Bearer {ann.stock.access_token}"}
    assert await ImSocket(server, bearer | {"Upgrade": "h2c"}).is_answered() == 426
    assert await ImSocket(server, bearer | {"Sec-WebSocket-Protocol": "chat"}).is_answered() == 400
    assert await ImSocket(server, bearer, since="nonsense").is_answered() == 400
    with refused("M_INVALID_PARAM", 400):
        await ann.call("GET", "/updates", since="nonsense")
    with refused("M_MISSING_TOKEN", 401):
        await im_call(server.client(), "GET", "/updates")


async def test_an_ended_session_is_told_so(server: Server, ann: ImUser) -> None:
    socket = await follows(server, ann)
    await ann.stock.logs_out()
    await socket.hears("session.revoked", errcode="M_UNKNOWN_TOKEN")
    assert await socket.is_closed() == 3002


async def test_the_server_pings_every_half_minute(server: Server, ann: ImUser) -> None:
    socket = await follows(server, ann)
    await server.passes(95)
    assert len(socket.pings) == 3
    socket.answers_pings = False
    await server.passes(150)
    assert socket.is_lost


async def test_who_does_not_read_is_sent_away_and_comes_back(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    socket = await follows(server, ben)
    since = socket.token
    socket.transport.high_water = 10
    socket.transport.hold()
    for number in range(5):
        await ann.says(room, f"{number}")
    await server.passes(31)
    socket.transport.release()
    assert await socket.is_closed() == 4008
    again = await follows(server, ben, since=since)
    bodies = [(await again.hears("message"))["message"]["body"] for _ in range(5)]
    assert bodies == ["0", "1", "2", "3", "4"]


async def test_resuming_tells_once_more(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    socket = await follows(server, ben)
    since = socket.token
    sent = await ann.says(room, "hello")
    await socket.hears("message", event_id=sent["event_id"])
    assert (await socket.does("resume", since=since))["type"] == "ok"
    await socket.hears("message", event_id=sent["event_id"])
    await socket.is_refused("resume", "M_INVALID_PARAM", since="nonsense")


@pytest.mark.parametrize(
    ("op", "params", "errcode"),
    [
        ("fly", {}, "M_BAD_JSON"),
        ("send", {"body": "no conversation"}, "M_INVALID_PARAM"),
        ("send", {"cid": "!elsewhere:one.test", "body": "hi"}, "M_FORBIDDEN"),
        ("send", {"cid": "nonsense", "body": "hi"}, "M_INVALID_PARAM"),
        ("send", {"to_user_id": "@cat:one.test", "body": "hi"}, "IM_NOT_FRIEND"),
        ("send", {"cid": 1, "body": "hi"}, "M_BAD_JSON"),
        ("ack", {"cid": "!elsewhere:one.test", "seq": 1}, "M_FORBIDDEN"),
        ("ack", {"cid": "!elsewhere:one.test", "seq": "one"}, "M_BAD_JSON"),
        ("read", {"cid": "!elsewhere:one.test"}, "M_FORBIDDEN"),
        ("typing", {"cid": "!elsewhere:one.test"}, "M_FORBIDDEN"),
        ("presence", {"status": "asleep"}, "M_BAD_JSON"),
        ("call.invite", {"cid": "!elsewhere:one.test", "offer": {}}, "M_INVALID_PARAM"),
        ("call.hangup", {"call_id": "unknown"}, "M_NOT_FOUND"),
        ("call.hangup", {}, "M_BAD_JSON"),
        ("resume", {}, "M_BAD_JSON"),
    ],
)
async def test_wrong_operations_are_told_and_the_line_stays(
    server: Server, ann: ImUser, room: str, op: str, params: dict[str, Any], errcode: str
) -> None:
    socket = await follows(server, ann)
    before = await ann.history(room)
    await socket.is_refused(op, errcode, **params)
    assert (await socket.does("ping"))["type"] == "ok"
    assert await ann.history(room) == before
