"""What filters and visibility take out of a timeline must not be missing from the state."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.client_state import ClientState
from tests.harness.user import User


def only(*types: str, **room: Any) -> str:
    return json.dumps({"room": {"timeline": {"types": list(types)}, **room}})


async def test_a_filtered_timeline_has_only_what_was_asked_for(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    messages = only("m.room.message")
    await bob.syncs(filter=messages)
    await alice.says(room, "hello")
    await alice.sends(room, "test.noise", {})
    section = (await bob.syncs(filter=messages))["rooms"]["join"][room]
    assert [event["type"] for event in section["timeline"]["events"]] == ["m.room.message"]
    await alice.sends(room, "test.noise", {})
    section = (await bob.syncs(filter=messages))["rooms"]["join"][room]
    assert section["timeline"]["events"] == []


async def test_state_that_the_filter_hides_is_told_as_state(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    messages = only("m.room.message")
    await bob.syncs(filter=messages)
    await alice.sets(room, "m.room.topic", {"topic": "tea"})
    await bob.syncs(filter=messages)
    assert bob.room(room).content("m.room.topic") == {"topic": "tea"}
    await alice.says(room, "hello")
    await alice.sets(room, "m.room.topic", {"topic": "cake"})
    await alice.says(room, "hello")
    await bob.syncs(filter=messages)
    assert bob.room(room).content("m.room.topic") == {"topic": "cake"}


async def test_state_from_before_one_could_see_is_told_as_state(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await alice.sets(room, "m.room.topic", {"topic": "tea"})
    await alice.sets(room, "m.room.history_visibility", {"history_visibility": "joined"})
    await alice.sets(room, "m.room.topic", {"topic": "cake"})
    await alice.sets(room, "m.room.name", {"name": "Kitchen"})
    await bob.joins(room)
    for asked in ({}, {"use_state_after": True}):
        client = ClientState()
        client.apply(await bob.request("GET", "/sync", query=asked))
        known = client.rooms[room]
        assert known.content("m.room.topic") == {"topic": "cake"}
        assert known.content("m.room.name") == {"name": "Kitchen"}
        assert "tea" not in str(known.timeline[-1:])


async def test_the_federation_format(alice: User) -> None:
    room = await alice.creates_room()
    event_id = await alice.says(room, "hello")
    asked = {"filter": json.dumps({"event_format": "federation"})}
    section = (await alice.request("GET", "/sync", query=asked))["rooms"]["join"][room]
    event = section["timeline"]["events"][-1]
    assert {"auth_events", "prev_events", "hashes", "signatures", "depth"} <= event.keys()
    assert event["content"]["body"] == "hello"
    assert event["event_id"] == event_id
    assert all("hashes" in event for event in section.get("state", {}).get("events", []))


async def test_a_limited_timeline_has_its_threads_bundled(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await alice.syncs()
    root = await alice.says(room, "a question")
    for number in range(3):
        reply = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        await bob.says(room, f"answer {number}", **reply)
    edit = {
        "m.relates_to": {"rel_type": "m.replace", "event_id": root},
        "m.new_content": {"msgtype": "m.text", "body": "a better question"},
    }
    await alice.says(room, "* a better question", **edit)
    whole = await alice.syncs()
    shown = whole["rooms"]["join"][room]["timeline"]
    assert shown["limited"] is False
    assert "m.relations" not in shown["events"][0]["unsigned"]
    for reader, took_part in ((alice, True), (bob, True)):
        first = await reader.request(
            "GET", "/sync", query={"filter": json.dumps({"room": {"timeline": {"limit": 5}}})}
        )
        timeline = first["rooms"]["join"][room]["timeline"]
        assert timeline["limited"] is True
        bundle = timeline["events"][0]["unsigned"]["m.relations"]
        assert bundle["m.thread"]["count"] == 3
        assert bundle["m.thread"]["current_user_participated"] is took_part
        assert bundle["m.replace"]["content"]["m.new_content"]["body"] == "a better question"


async def test_data_kept_for_a_room_that_was_left(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await bob.syncs()
    await bob.keeps("test.mark", {"n": 1}, room=room)
    await bob.leaves(room)
    left = (await bob.syncs())["rooms"]["leave"][room]
    assert left["account_data"]["events"] == [{"type": "test.mark", "content": {"n": 1}}]
    await bob.keeps("test.mark", {"n": 2}, room=room)
    later = (await bob.syncs())["rooms"]["leave"][room]
    assert later["account_data"]["events"] == [{"type": "test.mark", "content": {"n": 2}}]
    assert later["timeline"]["events"] == []
    assert "rooms" not in await bob.syncs()


async def test_heroes_come_with_their_member_events(alice: User, bob: User, carol: User) -> None:
    lazy = json.dumps({"room": {"state": {"lazy_load_members": True}}})
    room = await alice.creates_room(public=True)
    await alice.syncs(filter=lazy)
    await bob.joins(room)
    await alice.syncs(filter=lazy)
    fresh = await alice.request("GET", "/sync", query={"filter": lazy})
    since = fresh["next_batch"]
    for number in range(12):
        await alice.says(room, str(number))
    await carol.joins(room)
    for number in range(12):
        await alice.says(room, str(number))
    section = (await alice.syncs(since=since, filter=lazy))["rooms"]["join"][room]
    assert set(section["summary"]["m.heroes"]) == {bob.user_id, carol.user_id}
    known = {event["state_key"] for event in section["state"]["events"]}
    assert carol.user_id in known
