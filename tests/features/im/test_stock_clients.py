"""Conversations from both sides: stock clients see what the facade does, and the facade what they do (design, B.14)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.server import Server


@pytest.fixture
def room(server: Server, ann: ImUser, ben: ImUser) -> str:
    return server.drive(ann.befriends(ben))


async def content_of(user: ImUser, room: str, event_id: str) -> dict[str, Any]:
    content: dict[str, Any] = (await user.stock.event(room, event_id))["content"]
    return content


async def newest(user: ImUser, room: str) -> dict[str, Any]:
    (item,) = (await user.history(room, limit=1))["items"]
    return dict(item)


# What the facade does, in a stock client.


async def test_every_type_of_message_is_one_that_stock_clients_show(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    url = "mxc://one.test/abc"
    waveform = [0, 512, 1024]
    sent = {
        "m.text": await ann.says(room, "hello"),
        "m.image": await ann.says(
            room, "look", type="image", media={"url": url, "name": "a.png", "width": 8, "height": 6}
        ),
        "m.audio": await ann.says(
            room, "", type=3, media={"url": url, "duration_ms": 1200, "waveform": waveform}
        ),
        "m.video": await ann.says(room, "", type="video", media={"url": url, "mimetype": "video/mp4"}),
        "m.file": await ann.says(room, "", type=5, media={"url": url, "name": "a.pdf", "size": 7}),
        "m.location": await ann.says(
            room, "", type="location", location={"latitude": 1.5, "longitude": -2, "name": "Here"}
        ),
    }
    shown = {kind: await content_of(ben, room, each["event_id"]) for kind, each in sent.items()}
    assert {kind: content["msgtype"] for kind, content in shown.items()} == {kind: kind for kind in sent}
    image, voice = shown["m.image"], shown["m.audio"]
    assert (image["body"], image["filename"], image["url"]) == ("look", "a.png", url)
    assert image["info"] == {"w": 8, "h": 6}
    assert voice["org.matrix.msc3245.voice"] == {} and voice["info"]["duration"] == 1200
    assert voice["org.matrix.msc1767.audio"] == {"duration": 1200, "waveform": waveform}
    assert shown["m.file"]["filename"] == "a.pdf" and shown["m.file"]["info"] == {"size": 7}
    assert shown["m.location"]["geo_uri"] == "geo:1.5,-2.0"
    sticker = await ann.says(room, "wave", type="sticker", media={"url": url})
    assert (await ben.stock.event(room, sent["m.text"]["event_id"]))["type"] == "m.room.message"
    assert (await ben.stock.event(room, sticker["event_id"]))["type"] == "m.sticker"
    custom = await ann.says(room, "a card", type="custom", data={"card": 7})
    event = await ben.stock.event(room, custom["event_id"])
    assert (event["type"], event["content"]["data"]) == ("im.hearth.custom", {"card": 7})


async def test_replies_threads_edits_and_mentions_are_the_specifications(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    root = await ben.says(room, "tea?")
    reply = await ann.says(room, "yes", reply_to=root["event_id"], mentions=[ben.user_id])
    content = await content_of(ben, room, reply["event_id"])
    assert content["m.relates_to"] == {"m.in_reply_to": {"event_id": root["event_id"]}}
    assert content["m.mentions"] == {"user_ids": [ben.user_id]}
    threaded = await ann.says(room, "green?", thread=root["event_id"])
    relation = (await content_of(ben, room, threaded["event_id"]))["m.relates_to"]
    assert (relation["rel_type"], relation["event_id"]) == ("m.thread", root["event_id"])
    assert relation["is_falling_back"] and relation["m.in_reply_to"] == {"event_id": root["event_id"]}
    to_all = await ann.says(room, "all", mention_all=True)
    assert (await content_of(ben, room, to_all["event_id"]))["m.mentions"] == {"room": True}
    edited = await ann.call("PATCH", f"/messages/{reply['event_id']}", {"body": "yes please"})
    edit = await content_of(ben, room, edited["event_id"])
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": reply["event_id"]}
    assert edit["m.new_content"]["body"] == "yes please" and edit["body"] == "* yes please"
    bundled = (await ben.stock.event(room, reply["event_id"]))["unsigned"]["m.relations"]["m.replace"]
    assert bundled["event_id"] == edited["event_id"]


async def test_recalling_reading_and_reacting_are_events_and_receipts(
    ann: ImUser, ben: ImUser, room: str
) -> None:
    said = await ann.says(room, "oops")
    reacted = await ben.call("POST", f"/messages/{said['event_id']}/reactions", {"key": "😮"})
    await ann.stock.sees(room, event=reacted["reaction_id"])
    await ben.reads(room, seq=said["seq"])
    await ann.stock.sees(room, read={ben.stock: said["event_id"]})
    await ben.stock.syncs()
    assert ben.stock.room(room).account_data["m.fully_read"]["event_id"] == said["event_id"]
    await ann.call("PUT", f"/messages/{said['event_id']}/recall", {"reason": "a slip"})
    gone = await ben.stock.event(room, said["event_id"])
    because = gone["unsigned"]["redacted_because"]
    assert (gone["content"], because["sender"], because["content"]["reason"]) == ({}, ann.user_id, "a slip")


async def test_pins_mutes_and_marks_are_kept_where_stock_clients_keep_them(ann: ImUser, room: str) -> None:
    path = f"/conversations/{segment(room)}"
    await ann.call("PATCH", path, {"pinned": True, "order": 0.25, "muted": "all", "marked_unread": True})
    await ann.stock.syncs()
    data = ann.stock.room(room).account_data
    assert data["m.tag"]["tags"]["m.favourite"] == {"order": 0.25}
    assert data["m.marked_unread"] == {"unread": True}
    rules = (await ann.stock.request("GET", "/pushrules/"))["global"]
    muting = next(rule for rule in rules["override"] if rule["rule_id"] == room)
    assert muting["actions"] == [] and muting["enabled"]
    await ann.call("PATCH", path, {"pinned": False, "muted": "mentions"})
    rules = (await ann.stock.request("GET", "/pushrules/"))["global"]
    assert not any(rule["rule_id"] == room for rule in rules["override"])
    assert next(rule for rule in rules["room"] if rule["rule_id"] == room)["actions"] == []
    await ann.reads(room)
    await ann.stock.syncs()
    data = ann.stock.room(room).account_data
    assert data["m.marked_unread"] == {"unread": False} and data["m.tag"]["tags"] == {}


async def test_what_is_hidden_and_cleared_is_so_for_every_read_of_a_stock_client(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    first, hidden = await ann.says(room, "apples"), await ann.says(room, "pears")
    await ann.says(room, "plums")
    await ben.call("DELETE", f"/messages/{hidden['event_id']}", scope="me")
    await server.passes(5)

    async def search(words: str) -> list[str]:
        criteria = {"search_categories": {"room_events": {"search_term": words}}}
        found = await ben.stock.request("POST", "/search", criteria)
        results = found["search_categories"]["room_events"]["results"]
        return [each["result"]["content"]["body"] for each in results]

    assert await search("pears") == [] and await search("plums") == ["plums"]
    context = await ben.stock.request("GET", f"/rooms/{room}/context/{first['event_id']}")
    after = [event["content"].get("body") for event in context["events_after"]]
    assert "plums" in after and "pears" not in after
    fresh = await server.logs_in(ben.stock)
    await fresh.sees(room, "apples", "plums")
    assert fresh.room(room).bodies() == ["apples", "plums"]
    await ben.call("POST", f"/conversations/{segment(room)}/clear")
    assert await search("plums") == []
    fresh = await server.logs_in(ben.stock)
    await fresh.syncs()
    assert fresh.room(room).bodies() == []
    # State is never hidden: the room still has its members.
    assert sorted(await fresh.members(room)) == sorted([ann.user_id, ben.user_id])
    assert await ann.stock.members(room) == await ben.stock.members(room)


# What a stock client does, in the facade.


async def test_messages_of_stock_clients(ann: ImUser, ben: ImUser, room: str) -> None:
    voice = {
        "msgtype": "m.audio",
        "body": "Voice",
        "url": "mxc://one.test/v",
        "info": {"duration": 900},
        "org.matrix.msc3245.voice": {},
    }
    kinds: list[tuple[dict[str, Any], str]] = [
        ({"msgtype": "m.text", "body": "hi"}, "text"),
        ({"msgtype": "m.notice", "body": "beep"}, "notice"),
        ({"msgtype": "m.emote", "body": "waves"}, "emote"),
        ({"msgtype": "m.image", "body": "p", "url": "mxc://one.test/p", "info": {"w": 2, "h": 1}}, "image"),
        (voice, "voice"),
        ({"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"}, "location"),
        ({"msgtype": "org.example.odd", "body": "what?"}, "text"),
        ({"msgtype": 7, "body": ["not", "text"]}, "text"),
        ({}, "text"),
    ]
    for content, _ in kinds:
        await ben.stock.sends(room, "m.room.message", content)
    items = (await ann.history(room, limit=len(kinds)))["items"]
    assert [item["type"] for item in items] == [kind for _, kind in kinds]
    assert items[3]["media"] == {"url": "mxc://one.test/p", "name": "p", "width": 2, "height": 1}
    assert items[4]["media"]["duration_ms"] == 900
    assert items[5]["location"] == {"geo_uri": "geo:1,2", "name": "here"}
    assert (items[7]["body"], items[8]["body"]) == ("", "")
    assert await ann.unread(room) == len(kinds)
    # A redaction empties a message, and nothing else does: an empty one is no tombstone.
    assert "recalled" not in items[8] and "deleted" not in items[8]


async def test_edits_replies_and_reactions_of_stock_clients(ann: ImUser, ben: ImUser, room: str) -> None:
    said = await ben.stock.says(room, "helo")
    new = {"msgtype": "m.text", "body": "hello"}
    await ben.stock.sends(
        room,
        "m.room.message",
        {**new, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": said}},
    )
    # Nobody edits for somebody else, whatever a client sends.
    forged = {"msgtype": "m.text", "body": "forged"}
    await ann.stock.sends(
        room,
        "m.room.message",
        {**forged, "m.new_content": forged, "m.relates_to": {"rel_type": "m.replace", "event_id": said}},
    )
    relation = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
    reaction = await ben.stock.sends(room, "m.reaction", {"m.relates_to": relation})
    shown = await ann.call("GET", f"/messages/{said}")
    assert shown["body"] == "hello" and shown["edited_ts"]
    assert shown["reactions"] == [{"key": "👍", "count": 1, "mine": False}]
    await ben.stock.redacts(room, reaction)
    assert "reactions" not in await ann.call("GET", f"/messages/{said}")
    replied = await ben.stock.says(room, "so", **{"m.relates_to": {"m.in_reply_to": {"event_id": said}}})
    assert (await ann.call("GET", f"/messages/{replied}"))["reply_to"] == said


async def test_a_stock_redaction_is_a_recall_for_two_minutes(
    server: Server, ann: ImUser, ben: ImUser, room: str
) -> None:
    soon, later = await ben.stock.says(room, "soon"), await ben.stock.says(room, "later")
    await server.passes(60)
    await ben.stock.redacts(room, soon)
    await server.passes(100)
    await ben.stock.redacts(room, later)
    first, second = (await ann.history(room, limit=2))["items"]
    assert first["recalled"] and second["deleted"] and first["by"] == second["by"] == ben.user_id
    assert await ann.unread(room) == 0


async def test_tags_rules_and_marks_of_stock_clients(ann: ImUser, ben: ImUser, room: str) -> None:
    await ben.says(room, "hello")
    path = f"/user/{ann.user_id}/rooms/{room}/tags/m.favourite"
    await ann.stock.request("PUT", path, {"order": 0.5})
    await ann.stock.request("PUT", f"/pushrules/global/room/{room}", {"actions": []})
    await ann.stock.keeps("m.marked_unread", {"unread": True}, room=room)
    shown = await ann.conversation(room)
    assert (shown["pinned"], shown["order"], shown["muted"]) == (True, 0.5, "mentions")
    assert shown["marked_unread"] and shown["unread"] == 1
    # Clients may keep nonsense there: it is nobody's loss but their own.
    for kind in ("im.hearth.conversation", "im.hearth.cleared", "m.marked_unread"):
        await ann.stock.keeps(
            kind, {"hidden_seq": "x", "hidden": True, "event_id": 7, "unread": 3}, room=room
        )
    shown = await ann.conversation(room)
    assert (shown["unread"], shown["hidden"], shown["marked_unread"]) == (1, False, False)


async def test_a_stock_room_is_a_conversation(server: Server, ann: ImUser, ben: ImUser) -> None:
    room = await ben.stock.creates_room(inviting=ann.stock, name="Club")
    await ann.stock.joins(room)
    await ben.stock.says(room, "welcome")
    (shown,) = await ann.conversations()
    assert (shown["cid"], shown["kind"], shown["title"], shown["unread"]) == (room, "room", "Club", 1)
    await ann.says(room, "thanks")
    await ben.stock.sees(room, "welcome", "thanks")
    await ann.stock.leaves(room)
    assert await ann.conversations() == []
    space = await ben.stock.creates_room(inviting=ann.stock, creation_content={"type": "m.space"})
    await ann.stock.joins(space)
    assert await ann.conversations() == []


async def test_who_has_left_reads_up_to_then(ann: ImUser, ben: ImUser, room: str) -> None:
    await ben.says(room, "before")
    await ann.parts_from(ben)
    await ben.stock.says(room, "after")
    texts = [item["body"] for item in (await ann.history(room))["items"] if item.get("type") == "text"]
    assert texts == ["before"]
    assert [item.get("body") for item in (await ann.history(room, after_seq=0))["items"]].count("after") == 0
