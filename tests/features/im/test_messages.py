"""Conversations and messages: what is sent, kept, changed, taken back and hidden, here and in stock clients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


def bodies(page: dict[str, Any]) -> list[str]:
    return [item["body"] for item in page["items"] if "body" in item and item["type"] != "member"]


async def test_a_message_is_sent_once_and_seen_everywhere(ann: ImUser, ben: ImUser, room: str) -> None:
    first = await ann.says(room, "hello 👋", client_msg_id="m1")
    again = await ann.says(room, "something else", client_msg_id="m1")
    assert again["event_id"] == first["event_id"] and again["deduplicated"]
    await ben.stock.sees(room, "hello 👋", event=first["event_id"])
    shown = await ben.call("GET", f"/messages/{first['event_id']}")
    assert (shown["body"], shown["sender"], shown["seq"]) == ("hello 👋", ann.user_id, first["seq"])
    assert (await ann.call("GET", f"/messages/{first['event_id']}"))["client_msg_id"] == "m1"
    to_friend = await ben.call(
        "POST", "/messages", {"to_user_id": ann.user_id, "message_type": 1, "content": "hi"}
    )
    assert to_friend["cid"] == room and to_friend["seq"] == first["seq"] + 1


async def test_numbers_have_no_gaps_and_pages_fit(ann: ImUser, ben: ImUser, room: str) -> None:
    for number in range(7):
        await (ann if number % 2 else ben.stock).says(room, f"m{number}")
    page = await ann.history(room, limit=3)
    assert bodies(page) == ["m4", "m5", "m6"]
    older = await ann.history(room, limit=3, from_=page["next_batch"])
    assert bodies(older) == ["m1", "m2", "m3"]
    everything = await ann.history(room, after_seq=0, limit=100)
    seqs = [item["seq"] for item in everything["items"]]
    assert seqs == list(range(1, len(seqs) + 1)) and "next_batch" not in everything
    around = await ann.history(room, around=older["items"][1]["seq"], limit=3)
    assert bodies(around) == ["m1", "m2", "m3"]
    with refused("M_INVALID_PARAM", 400):
        await ann.history(room, before_seq=1, after_seq=1)


async def test_types(ann: ImUser, ben: ImUser, room: str) -> None:
    media = {"url": "mxc://one.test/abc", "name": "a.ogg", "duration_ms": 1200, "mimetype": "audio/ogg"}
    await ann.says(room, "", type="voice", media=media)
    await ann.says(room, "look", type=2, media={"url": "mxc://one.test/pic", "width": 3, "height": 4})
    await ann.says(room, "", type="location", location={"latitude": 1.5, "longitude": 2, "name": "here"})
    await ann.says(room, "a card", type="custom", data={"card": 7})
    page = await ben.history(room)
    shown = page["items"][-4:]
    assert [item["type"] for item in shown] == ["voice", "image", "location", "custom"]
    assert shown[0]["media"]["duration_ms"] == 1200 and shown[3]["data"] == {"card": 7}
    await ben.stock.sees(room, "look")
    assert ben.stock.room(room).timeline[-3]["content"]["msgtype"] == "m.image"
    for body in ({"type": "image"}, {"type": "nonsense"}, {"body": ""}, {"type": "location"}):
        with refused("M_INVALID_PARAM", 400):
            await ann.call("POST", f"/conversations/{room}/messages", body)


async def test_reply_edit_react_forward_mention(ann: ImUser, ben: ImUser, cat: ImUser, room: str) -> None:
    other = await ann.befriends(cat)
    said = await ann.says(room, "tea?", mentions=[ben.user_id])
    reply = await ben.says(room, "yes", reply_to=said["event_id"])
    assert (await ann.call("GET", f"/messages/{reply['event_id']}"))["reply_to"] == said["event_id"]
    assert (await ben.conversation(room))["mention_count"] == 0
    await ann.says(room, "now", mentions=[ben.user_id])
    assert (await ben.conversation(room))["mention_count"] == 1
    await ann.call("PATCH", f"/messages/{said['event_id']}", {"body": "coffee?"})
    path = f"/messages/{said['event_id']}/reactions"
    first = await ben.call("POST", path, {"key": "👍"})
    assert await ben.call("POST", path, {"key": "👍"}) == first | {"deduplicated": True}
    shown = await ben.call("GET", f"/messages/{said['event_id']}")
    assert shown["body"] == "coffee?" and shown["edited_ts"]
    assert shown["reactions"] == [{"key": "👍", "count": 1, "mine": True}]
    await ben.call("DELETE", f"/messages/{said['event_id']}/reactions/%F0%9F%91%8D")
    assert "reactions" not in await ben.call("GET", f"/messages/{said['event_id']}")
    with refused("M_FORBIDDEN", 403):
        await ben.call("PATCH", f"/messages/{said['event_id']}", {"body": "mine now"})
    await ann.call("POST", f"/messages/{reply['event_id']}/forward", {"to": [other]})
    assert bodies(await cat.history(other)) == ["yes"]
    await ann.call("POST", f"/messages/{said['event_id']}/forward", {"to": [other]})
    assert bodies(await cat.history(other)) == ["yes", "coffee?"]
    with refused("M_NOT_FOUND", 404):
        await cat.call("GET", f"/messages/{reply['event_id']}")


async def test_recall_within_two_minutes(server: Server, ann: ImUser, ben: ImUser, room: str) -> None:
    said = await ann.says(room, "oops")
    with refused("M_FORBIDDEN", 403):
        await ben.call("PUT", f"/messages/{said['event_id']}/recall")
    await server.passes(119)
    await ann.call("PUT", f"/messages/{said['event_id']}/recall")
    (shown,) = (await ben.history(room, limit=1))["items"]
    assert shown["recalled"] and shown["by"] == ann.user_id
    assert (await ben.stock.event(room, said["event_id"]))["content"] == {}
    late = await ann.says(room, "too late")
    await server.passes(121)
    with refused("IM_RECALL_EXPIRED", 403):
        await ann.call("PUT", f"/messages/{late['event_id']}/recall")
    await ann.call("DELETE", f"/messages/{late['event_id']}", scope="all")
    assert (await ben.history(room, limit=1))["items"][0]["deleted"]


async def test_deleting_for_oneself_binds_all_ones_clients_and_nobody_elses(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    said = await ann.says(room, "secret")
    await ann.says(room, "after")
    await ben.call("DELETE", f"/messages/{said['event_id']}", scope="me")
    assert bodies(await ben.history(room)) == ["after"]
    tombstone = (await ben.history(room))["items"][-2]
    assert tombstone == {"cid": room, "seq": said["seq"], "hidden": True}
    await ben.stock.sees(room, "after")
    assert ben.stock.room(room).bodies() == ["after"]
    chunk = (await ben.stock.messages(room))["chunk"]
    assert said["event_id"] not in [event["event_id"] for event in chunk]
    with refused("M_NOT_FOUND", 404):
        await ben.stock.event(room, said["event_id"])
    assert bodies(await ann.history(room)) == ["secret", "after"]


async def test_clearing_makes_stock_clients_drop_what_they_have(ann: ImUser, ben: ImUser, room: str) -> None:
    await ann.says(room, "before")
    await ben.stock.sees(room, "before")
    cleared = await ben.call("POST", f"/conversations/{room}/clear")
    answer = await ben.stock.syncs()
    timeline = answer["rooms"]["join"][room]["timeline"]
    assert timeline["limited"] and timeline["events"] == []
    assert ben.stock.room(room).bodies() == []
    await ann.says(room, "after")
    await ben.stock.sees(room, "after")
    assert bodies(await ben.history(room)) == ["after"]
    chunk = (await ben.stock.messages(room))["chunk"]
    assert [event["content"]["body"] for event in chunk if "body" in event["content"]] == ["after"]
    assert cleared["cleared_seq"] == (await ben.history(room, limit=1))["items"][0]["seq"] - 1
    assert bodies(await ann.history(room)) == ["before", "after"]


async def test_the_list_is_by_last_message_with_pins_first(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    with_ben, with_cat = await ann.befriends(ben), await ann.befriends(cat)
    await ben.says(with_ben, "old")
    await cat.says(with_cat, "new")
    assert [each["cid"] for each in await ann.conversations()] == [with_cat, with_ben]
    shown = await ann.call("PATCH", f"/conversations/{with_ben}", {"pinned": True, "draft": "dear"})
    assert shown["pinned"] and shown["draft"] == "dear"
    listed = await ann.conversations()
    assert [each["cid"] for each in listed] == [with_ben, with_cat]
    assert listed[1]["last_message"]["body"] == "new" and listed[1]["peer"]["user_id"] == cat.user_id
    first = await ann.call("GET", "/conversations", limit=1)
    rest = await ann.call("GET", "/conversations", limit=1, from_=first["next_batch"])
    assert [each["cid"] for each in first["items"] + rest["items"]] == [with_ben, with_cat]
    assert [each["cid"] for each in await ann.conversations(filter="pinned")] == [with_ben]
    assert len(await ann.conversations(filter="unread")) == 2
    assert await ann.conversations(filter="group") == []
    await ann.stock.syncs()
    assert "m.favourite" in ann.stock.room(with_ben).account_data["m.tag"]["tags"]
    await ann.stock.request("DELETE", f"/user/{ann.user_id}/rooms/{with_ben}/tags/m.favourite")
    assert not (await ann.conversation(with_ben))["pinned"]


async def test_pages_of_the_list_fit(ann: ImUser, ben: ImUser) -> None:
    rooms = [await ben.stock.creates_room(inviting=ann.stock, name=f"r{number}") for number in range(9)]
    for number, room in enumerate(rooms):
        await ann.stock.joins(room)
        if number % 4:
            await ben.stock.says(room, "hello")
    for number, order in ((1, 0.7), (3, 0.2), (6, 0.2)):
        await ann.call("PATCH", f"/conversations/{segment(rooms[number])}", {"pinned": True, "order": order})
    await ann.call("DELETE", f"/conversations/{segment(rooms[5])}")
    await ann.reads(rooms[7])
    whole = [each["cid"] for each in await ann.conversations()]
    # Two with one order by the newest message; those without any message last.
    assert whole[:3] == [rooms[6], rooms[3], rooms[1]] and whole[3:5] == [rooms[7], rooms[2]]
    assert sorted(whole[5:]) == sorted([rooms[0], rooms[4], rooms[8]])
    expected = {"all": whole, "pinned": whole[:3], "unread": [*whole[:3], rooms[2]], "dm": [], "group": []}
    for name, wanted in expected.items():
        listed: list[str] = []
        place: str | None = None
        for _ in range(9):
            query = {} if place is None else {"from_": place}
            page = await ann.call("GET", "/conversations", filter=name, limit=2, **query)
            listed += [each["cid"] for each in page["items"]]
            place = page.get("next_batch")
            if place is None:
                break
        assert listed == wanted, name


async def test_a_mute_ends(server: Server, ann: ImUser, room: str) -> None:
    until = server.clock.now_ms() + 60_000
    shown = await ann.call("PATCH", f"/conversations/{room}", {"muted": "mentions", "mute_until": until})
    assert (shown["muted"], shown["mute_until"]) == ("mentions", until)
    await server.passes(61)
    assert (await ann.conversation(room))["muted"] == "off"


async def test_delivered_and_read(ann: ImUser, ben: ImUser, room: str) -> None:
    said = await ann.says(room, "hello")
    path = f"/messages/{said['event_id']}/status"
    assert (await ann.call("GET", path))["state"] == "sent"
    await ben.call("POST", f"/conversations/{room}/delivered", {"seq": said["seq"]})
    assert await ann.call("GET", path) == {"state": "delivered", "delivered_to": [ben.user_id], "read_by": []}
    await ben.reads(room)
    assert (await ann.call("GET", path))["state"] == "read"
    (reader,) = (await ann.call("GET", f"/messages/{said['event_id']}/readers"))["items"]
    assert reader["user_id"] == ben.user_id
    with refused("M_NOT_FOUND", 404):
        await ben.call("GET", path)


async def test_who_is_no_friend_gets_no_conversation(
    ann: ImUser, ben: ImUser, cat: ImUser, room: str
) -> None:
    with refused("IM_NOT_FRIEND", 403):
        await ann.call("POST", "/conversations", {"user_id": cat.user_id})
    with refused("M_FORBIDDEN", 403):
        await cat.says(room, "let me in")
    with refused("M_FORBIDDEN", 403):
        await cat.history(room)
    with refused("M_NOT_FOUND", 404):
        await cat.conversation(room)
    assert (await ann.call("POST", "/conversations", {"user_id": ben.user_id}))["cid"] == room
    await ben.parts_from(ann)
    with refused("IM_NOT_FRIEND", 403):
        await ann.says(room, "are you there?")
    with refused("IM_NOT_FRIEND", 403):
        await ann.call("POST", "/messages", {"to_user_id": ben.user_id, "body": "hm"})


async def test_an_encrypted_conversation_takes_nothing_in_the_clear(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    await ann.stock.sets(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    with refused("IM_ENCRYPTED", 409):
        await ben.says(room, "hello")
    await ann.stock.sends(room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
    (shown,) = (await ben.history(room, limit=1))["items"]
    assert shown["type"] == "encrypted"
    secret = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "y", "session_id": "s"}
    sent = await ann.says(room, "", type="encrypted", data=secret)
    assert (await ben.stock.event(room, sent["event_id"]))["content"] == secret
    with refused("M_INVALID_PARAM", 400):
        await ann.says(room, "no secret", type="encrypted", data={})
    assert await ben.unread(room) == 2


async def test_across_conversations_and_search(server: Server, ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    with_ben, with_cat = await ann.befriends(ben), await ann.befriends(cat)
    await ben.says(with_ben, "apples and pears")
    await cat.says(with_cat, "pears")
    found = await ann.call("GET", "/messages", limit=1)
    assert bodies(found) == ["pears"]
    assert bodies(await ann.call("GET", "/messages", from_=found["next_batch"])) == ["apples and pears"]
    assert (await ann.call("GET", "/messages", kind="group"))["items"] == []
    unread = await ann.call("GET", "/messages/unread")
    assert unread["total"] == 2 and {each["cid"]: each["unread"] for each in unread["items"]} == {
        with_ben: 1,
        with_cat: 1,
    }
    await server.passes(5)
    assert bodies(await ann.call("GET", "/messages/search", q="apples")) == ["apples and pears"]
    assert bodies(await ann.call("GET", "/messages/search", q="pears", cid=with_cat)) == ["pears"]


async def test_who_was_away_pulls_what_they_missed(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    with_ben, with_cat = await ann.befriends(ben), await ann.befriends(cat)
    await ben.says(with_ben, "known")
    since = (await ann.stock.syncs())["next_batch"]
    await ben.says(with_ben, "one")
    await cat.says(with_cat, "two")
    gone = await cat.says(with_cat, "gone")
    await cat.call("PUT", f"/messages/{gone['event_id']}/recall")
    await ben.stock.says(with_ben, "three")
    page = await ann.call("GET", "/messages", since=since, limit=2)
    assert [(item["cid"], item["body"]) for item in page["items"]] == [(with_ben, "one"), (with_cat, "two")]
    rest = await ann.call("GET", "/messages", limit=2, from_=page["next_batch"])
    assert rest["items"][0]["recalled"] and rest["items"][1]["body"] == "three"
    assert "next_batch" not in rest


async def test_typing(ann: ImUser, ben: ImUser, room: str) -> None:
    await ann.call("POST", f"/conversations/{room}/typing", {"typing": True})
    await ben.stock.sees(room, typing=[ann.user_id])
