"""What conversations and messages refuse: the table's code each time (design, B.2), and nothing has changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server

OFFER = {"type": "offer", "sdp": "v=0"}

# Every call about a conversation or a message, with a body that is right.
CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/conversations", {"group_id": "ROOM"}),
    ("GET", "/conversations/{room}", None),
    ("PATCH", "/conversations/{room}", {"pinned": True}),
    ("DELETE", "/conversations/{room}", None),
    ("PUT", "/conversations/{room}/read", {}),
    ("POST", "/conversations/{room}/clear", None),
    ("POST", "/conversations/{room}/typing", {}),
    ("POST", "/conversations/{room}/delivered", {"seq": 1}),
    ("POST", "/conversations/{room}/messages", {"body": "hi"}),
    ("GET", "/conversations/{room}/messages", None),
    ("POST", "/conversations/{room}/calls", {"offer": OFFER}),
    ("GET", "/messages/{event}", None),
    ("PATCH", "/messages/{event}", {"body": "mine"}),
    ("DELETE", "/messages/{event}?scope=me", None),
    ("DELETE", "/messages/{event}?scope=all", None),
    ("PUT", "/messages/{event}/recall", {}),
    ("GET", "/messages/{event}/status", None),
    ("GET", "/messages/{event}/readers", None),
    ("POST", "/messages/{event}/reactions", {"key": "👍"}),
    ("DELETE", "/messages/{event}/reactions/x", None),
    ("POST", "/messages/{event}/forward", {"to": ["ROOM"]}),
]
EVERYWHERE: list[tuple[str, str]] = [
    ("GET", "/conversations"),
    ("GET", "/messages"),
    ("GET", "/messages/unread"),
    ("GET", "/messages/search?q=x"),
    ("POST", "/messages"),
    ("GET", "/updates"),
    ("GET", "/calls/turn"),
    ("POST", "/calls/c1/hangup"),
]


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


def filled(path: str, room: str, event: str) -> str:
    return path.format(room=segment(room), event=segment(event))


def body_for(body: dict[str, Any] | None, room: str) -> dict[str, Any] | None:
    if body is None:
        return None
    put = {"ROOM": room, "['ROOM']": [room]}
    return {key: put.get(str(value), value) for key, value in body.items()}


async def all_of(user: ImUser, room: str) -> tuple[Any, Any]:
    conversation = await user.conversation(room)
    return conversation, await user.history(room, limit=100)


async def test_nobody_without_a_token_is_served(server: Server, ann: ImUser, room: str) -> None:
    sent = await ann.says(room, "hello")
    before = await all_of(ann, room)
    nobody = server.client()
    for method, path, body in CALLS:
        with refused("M_MISSING_TOKEN", 401):
            await im_call(nobody, method, filled(path, room, sent["event_id"]), body_for(body, room))
    for method, path in EVERYWHERE:
        with refused("M_MISSING_TOKEN", 401):
            await im_call(nobody, method, path, {} if method == "POST" else None)
    assert await all_of(ann, room) == before


async def test_what_is_anothers_is_not_for_strangers(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser, room: str
) -> None:
    sent = await ann.says(room, "hello")
    before = await all_of(ann, room), await all_of(ben, room)
    for method, path, body in CALLS:
        answer = await cat.stock.ask(
            method, "/im/v1" + filled(path, room, sent["event_id"]), body_for(body, room)
        )
        # Who knows only its ID is not told whether there is such a message, or such a conversation.
        is_unknown = "event" in path or path in ("/conversations", "/conversations/{room}")
        wanted = (404, "M_NOT_FOUND") if is_unknown else (403, "M_FORBIDDEN")
        assert (answer.status, answer.errcode) == wanted, (method, path)
    assert (await all_of(ann, room), await all_of(ben, room)) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "errcode"),
    [
        ("POST", "/conversations", {}, "M_INVALID_PARAM"),
        (
            "POST",
            "/conversations",
            {"user_id": "@ben:one.test", "group_id": "!r:one.test"},
            "M_INVALID_PARAM",
        ),
        ("POST", "/conversations", {"user_id": 7}, "M_BAD_JSON"),
        ("POST", "/conversations", {"user_id": "ben"}, "M_INVALID_PARAM"),
        ("GET", "/conversations?limit=0", None, "M_INVALID_PARAM"),
        ("GET", "/conversations?limit=101", None, "M_INVALID_PARAM"),
        ("GET", "/conversations?from=nonsense", None, "M_INVALID_PARAM"),
        ("GET", "/conversations?filter=best", None, "M_INVALID_PARAM"),
        ("GET", "/conversations/nonsense", None, "M_INVALID_PARAM"),
        ("PATCH", "/conversations/{room}", {"pinned": "yes"}, "M_BAD_JSON"),
        ("PATCH", "/conversations/{room}", {"pinned": True, "order": 7}, "M_INVALID_PARAM"),
        ("PATCH", "/conversations/{room}", {"muted": "loud"}, "M_BAD_JSON"),
        ("PATCH", "/conversations/{room}", {"muted": "all", "mute_until": 1}, "M_INVALID_PARAM"),
        ("PATCH", "/conversations/{room}", {"mute_until": 1_700_000_900_000}, "M_INVALID_PARAM"),
        ("PATCH", "/conversations/{room}", {"pinned": True, "draft": "x" * 10_001}, "M_INVALID_PARAM"),
        ("PUT", "/conversations/{room}/read", {"seq": 10_000}, "M_NOT_FOUND"),
        ("PUT", "/conversations/{room}/read", {"seq": "last"}, "M_BAD_JSON"),
        ("PUT", "/conversations/{room}/read", {"event_id": "$unknown"}, "M_NOT_FOUND"),
        ("PUT", "/conversations/{room}/read", {"event_id": "unknown"}, "M_INVALID_PARAM"),
        ("POST", "/conversations/{room}/typing", {"typing": "yes"}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/delivered", {}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/delivered", {"seq": 10_000}, "M_NOT_FOUND"),
        ("POST", "/conversations/{room}/messages", {"body": ""}, "M_INVALID_PARAM"),
        ("POST", "/conversations/{room}/messages", {"body": 7}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/messages", {"type": 9, "body": "x"}, "M_INVALID_PARAM"),
        ("POST", "/conversations/{room}/messages", {"type": "image", "body": "x"}, "M_INVALID_PARAM"),
        (
            "POST",
            "/conversations/{room}/messages",
            {"type": "file", "media": {"url": "https://elsewhere.test/a"}},
            "M_INVALID_PARAM",
        ),
        (
            "POST",
            "/conversations/{room}/messages",
            {"type": "location", "location": {"latitude": 91, "longitude": 0}},
            "M_INVALID_PARAM",
        ),
        ("POST", "/conversations/{room}/messages", {"body": "x", "client_msg_id": ""}, "M_INVALID_PARAM"),
        (
            "POST",
            "/conversations/{room}/messages",
            {"body": "x", "client_msg_id": "x" * 256},
            "M_INVALID_PARAM",
        ),
        ("POST", "/conversations/{room}/messages", {"body": "x", "reply_to": "$unknown"}, "M_NOT_FOUND"),
        ("POST", "/conversations/{room}/messages", {"body": "x", "thread": "$unknown"}, "M_NOT_FOUND"),
        ("POST", "/conversations/{room}/messages", {"body": "x", "mentions": ["ben"]}, "M_INVALID_PARAM"),
        ("POST", "/conversations/{room}/messages", {"body": "x" * 70_000}, "M_TOO_LARGE"),
        ("POST", "/conversations/{room}/messages", {"type": "custom", "data": {"n": 1.5}}, "M_BAD_JSON"),
        ("POST", "/messages", {"body": "x"}, "M_INVALID_PARAM"),
        ("POST", "/messages", {"to_user_id": "ben", "body": "x"}, "M_INVALID_PARAM"),
        ("POST", "/messages", {"to_user_id": "@nobody:one.test", "body": "x"}, "IM_NOT_FRIEND"),
        ("GET", "/conversations/{room}/messages?before_seq=1&after_seq=1", None, "M_INVALID_PARAM"),
        ("GET", "/conversations/{room}/messages?before_seq=first", None, "M_INVALID_PARAM"),
        ("GET", "/conversations/{room}/messages?from=nonsense", None, "M_INVALID_PARAM"),
        ("GET", "/messages?from=nonsense", None, "M_INVALID_PARAM"),
        ("GET", "/messages?since=nonsense", None, "M_INVALID_PARAM"),
        ("GET", "/messages?kind=strange", None, "M_INVALID_PARAM"),
        ("GET", "/messages/search", None, "M_MISSING_PARAM"),
        ("GET", "/messages/search?q=x&cid=nonsense", None, "M_INVALID_PARAM"),
        ("GET", "/messages/$unknown", None, "M_NOT_FOUND"),
        ("GET", "/messages/unknown", None, "M_INVALID_PARAM"),
        ("PATCH", "/messages/{event}", {"body": ""}, "M_INVALID_PARAM"),
        ("PATCH", "/messages/{event}", {}, "M_BAD_JSON"),
        ("DELETE", "/messages/{event}?scope=everybody", None, "M_INVALID_PARAM"),
        ("PUT", "/messages/{event}/recall", {"reason": 7}, "M_BAD_JSON"),
        ("POST", "/messages/{event}/reactions", {"key": ""}, "M_INVALID_PARAM"),
        ("POST", "/messages/{event}/reactions", {"key": "x" * 65}, "M_INVALID_PARAM"),
        ("DELETE", "/messages/{event}/reactions/x", None, "M_NOT_FOUND"),
        ("POST", "/messages/{event}/forward", {"to": []}, "M_INVALID_PARAM"),
        ("POST", "/messages/{event}/forward", {"to": ["!elsewhere:one.test"]}, "M_FORBIDDEN"),
        ("POST", "/messages/{event}/forward", {"to": ["{room}", "!elsewhere:one.test"]}, "M_FORBIDDEN"),
        ("POST", "/messages/{event}/forward", {"to": "{room}"}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/calls", {}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/calls", {"offer": OFFER, "lifetime": 1}, "M_BAD_JSON"),
        ("POST", "/conversations/{room}/calls", {"offer": OFFER, "type": "telepathy"}, "M_BAD_JSON"),
        ("POST", "/calls/c1/sing", {}, "M_INVALID_PARAM"),
        ("POST", "/calls/c1/hangup", {"cid": "nonsense"}, "M_INVALID_PARAM"),
    ],
)
def test_bad_input_changes_nothing(
    quick_server: Server, method: str, path: str, body: dict[str, Any] | None, errcode: str
) -> None:
    quick_server.drive(check_bad_input(quick_server, method, path, body, errcode))


async def check_bad_input(
    server: Server, method: str, path: str, body: dict[str, Any] | None, errcode: str
) -> None:
    ann, ben, room, event = await two_friends(server)
    before = await all_of(ann, room), await all_of(ben, room)
    if body is not None and "to" in body:
        to = body["to"]
        filled_in = to.format(room=room) if isinstance(to, str) else [each.format(room=room) for each in to]
        body = {**body, "to": filled_in}
    with refused(errcode):
        await ann.call(method, filled(path, room, event), body)
    assert (await all_of(ann, room), await all_of(ben, room)) == before


async def two_friends(server: Server) -> tuple[ImUser, ImUser, str, str]:
    """Two friends and a message; they stay, since nothing that is tried changes anything."""
    known: dict[str, Any] = server.__dict__.setdefault("two_friends", {})
    if not known:
        ann, ben = ImUser(await server.user("ann")), ImUser(await server.user("ben"))
        room = await ann.befriends(ben)
        known["found"] = ann, ben, room, (await ann.says(room, "hello"))["event_id"]
    found: tuple[ImUser, ImUser, str, str] = known["found"]
    return found


# Groups that do not let everybody speak.


async def group_of(ann: ImUser, *others: ImUser) -> str:
    made = await ann.call("POST", "/groups", {"name": "Tea", "members": [each.user_id for each in others]})
    for each in others:
        await each.stock.joins(made["gid"])
    return str(made["gid"])


async def is_refused_to_speak(
    user: ImUser, gid: str, said: dict[str, Any], errcode: str, status: int
) -> None:
    path = f"/messages/{said['event_id']}"
    tries = [
        ("POST", f"/conversations/{segment(gid)}/messages", {"body": "let me"}),
        ("POST", f"/conversations/{segment(gid)}/calls", {"offer": OFFER}),
        ("POST", f"{path}/reactions", {"key": "👎"}),
        ("POST", f"{path}/forward", {"to": [gid]}),
        ("PATCH", path, {"body": "changed"}),
    ]
    for method, tried, body in tries:
        with refused(errcode, status):
            await user.call(method, tried, body)


async def test_a_muted_member_says_nothing_but_takes_back(ann: ImUser, ben: ImUser) -> None:
    gid = await group_of(ann, ben)
    said = await ben.says(gid, "before")
    muted_until = 1_700_000_000_000 + 3_600_000
    await ann.call("PATCH", f"/groups/{segment(gid)}/members/{ben.user_id}", {"muted_until": muted_until})
    before = await ann.history(gid)
    await is_refused_to_speak(ben, gid, said, "IM_MUTED", 403)
    assert await ann.history(gid) == before
    await ben.call("PUT", f"/messages/{said['event_id']}/recall")
    assert (await ann.call("GET", f"/messages/{said['event_id']}"))["recalled"]


async def test_when_all_are_muted_admins_speak(ann: ImUser, ben: ImUser) -> None:
    gid = await group_of(ann, ben)
    said = await ben.says(gid, "before")
    await ann.call("PUT", f"/groups/{segment(gid)}/mute", {"enabled": True})
    await is_refused_to_speak(ben, gid, said, "IM_MUTED", 403)
    await ann.says(gid, "I may")
    await ben.call("PUT", f"/messages/{said['event_id']}/recall")


async def test_a_dissolved_group_takes_nothing(server: Server, ann: ImUser, ben: ImUser) -> None:
    gid = await group_of(ann, ben)
    said = await ben.says(gid, "before")
    await ann.call("DELETE", f"/groups/{segment(gid)}")
    await server.passes(60)
    await is_refused_to_speak(ben, gid, said, "IM_GROUP_DISSOLVED", 410)
    for method, path in (
        ("PUT", f"/messages/{said['event_id']}/recall"),
        ("DELETE", f"/messages/{said['event_id']}?scope=all"),
        ("DELETE", f"/messages/{said['event_id']}/reactions/x"),
    ):
        with refused("IM_GROUP_DISSOLVED", 410):
            await ben.call(method, path)
    history = await ben.history(gid)
    assert "before" in [item.get("body") for item in history["items"]]


async def test_an_encrypted_group_takes_nothing_in_the_clear(ann: ImUser, ben: ImUser) -> None:
    gid = await group_of(ann, ben)
    said = await ann.says(gid, "in the clear")
    await ann.stock.sets(gid, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    secret = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}
    hidden = await ben.stock.sends(gid, "m.room.encrypted", secret)
    before = await ann.history(gid)
    for method, path, body in (
        ("POST", f"/conversations/{segment(gid)}/messages", {"body": "let me"}),
        ("POST", f"/conversations/{segment(gid)}/calls", {"offer": OFFER}),
        ("PATCH", f"/messages/{said['event_id']}", {"body": "changed"}),
        ("POST", f"/messages/{said['event_id']}/forward", {"to": [gid]}),
        ("POST", f"/messages/{hidden}/forward", {"to": [gid]}),
    ):
        with refused("IM_ENCRYPTED", 409):
            await ann.call(method, path, body)
    assert await ann.history(gid) == before
    # What is no text goes on: reactions, receipts, order and counts.
    await ann.call("POST", f"/messages/{hidden}/reactions", {"key": "👍"})
    assert await ann.unread(gid) == 1 and (await ann.reads(gid))["unread"] == 0


async def test_admins_recall_without_limit_and_members_do_not(
    server: Server, ann: ImUser, ben: ImUser, cat: ImUser
) -> None:
    gid = await group_of(ann, ben, cat)
    said = await ben.says(gid, "rude")
    await server.passes(3600)
    path = f"/messages/{said['event_id']}/recall"
    with refused("IM_RECALL_EXPIRED", 403):
        await ben.call("PUT", path)
    with refused("M_FORBIDDEN", 403):
        await cat.call("PUT", path)
    await ann.call("PUT", path, {"reason": "be kind"})
    shown = await ben.call("GET", f"/messages/{said['event_id']}")
    assert (shown["recalled"], shown["by"], shown["reason"]) == (True, ann.user_id, "be kind")
    # Once more changes nothing.
    again = await ann.call("PUT", path)
    assert again["recalled_ts"] == shown["ts"]


async def test_in_a_conversation_of_two_nobody_recalls_for_the_other(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    said = await ben.says(room, "mine")
    with refused("M_FORBIDDEN", 403):
        await ann.call("PUT", f"/messages/{said['event_id']}/recall")
    # Whoever asked for the friendship has the power to kick, and so to redact: not here.
    with refused("M_FORBIDDEN", 403):
        await ann.call("DELETE", f"/messages/{said['event_id']}", scope="all")


async def test_a_header_names_what_is_made_as_well(ann: ImUser, ben: ImUser, room: str) -> None:
    path = f"/im/v1/conversations/{segment(room)}"
    key = {"Idempotency-Key": "once"}
    first = await ann.stock.request("POST", f"{path}/messages", {"body": "one"}, headers=key)
    again = await ann.stock.request("POST", f"{path}/messages", {"body": "two"}, headers=key)
    assert again == first | {"deduplicated": True}
    by_frame = await ann.says(room, "three", client_msg_id="once")
    assert by_frame["event_id"] == first["event_id"]
    key = {"Idempotency-Key": "forward"}
    forward = f"/im/v1/messages/{first['event_id']}/forward"
    made = [await ann.stock.request("POST", forward, {"to": [room]}, headers=key) for _ in range(2)]
    assert made[0]["items"][0]["event_id"] == made[1]["items"][0]["event_id"]
    key = {"Idempotency-Key": "call"}
    begun = [
        await ann.stock.request("POST", f"{path}/calls", {"offer": OFFER}, headers=key) for _ in range(2)
    ]
    assert begun[0] == begun[1]
    bodies = [item["body"] for item in (await ben.history(room))["items"] if item.get("type") == "text"]
    assert bodies == ["one", "one"]


async def test_one_id_of_the_client_is_one_message_on_every_way(ann: ImUser, ben: ImUser, room: str) -> None:
    other = await ben.stock.creates_room(inviting=ann.stock)
    await ann.stock.joins(other)
    first = await ann.says(room, "one", client_msg_id="same")
    before = await ann.history(room)
    again = await ann.says(room, "two", client_msg_id="same", type="emote", mention_all=True)
    assert again == first | {"deduplicated": True}
    assert await ann.history(room) == before
    # Another conversation and another device are another matter, as for stock clients.
    elsewhere = await ann.says(other, "three", client_msg_id="same")
    assert elsewhere["event_id"] != first["event_id"]
    assert await ann.says(room, "four", client_msg_id="same") == first | {"deduplicated": True}
    bens = await ben.says(room, "five", client_msg_id="same")
    assert "deduplicated" not in bens
