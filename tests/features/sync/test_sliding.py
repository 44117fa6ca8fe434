"""Sliding sync as Element X speaks it, and in the dialect of the accepted proposal."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

UNSTABLE = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
STABLE = "/_matrix/client/v4/sync"
ELEMENT_X: dict[str, Any] = {
    "conn_id": "room-list",
    "lists": {
        "all_rooms": {
            "ranges": [[0, 19]],
            "timeline_limit": 1,
            "required_state": [
                ["m.room.name", ""],
                ["m.room.create", ""],
                ["m.room.member", "$LAZY"],
                ["m.room.member", "$ME"],
                ["m.space.child", "*"],
            ],
            "filters": {},
        }
    },
    "extensions": {
        "account_data": {"enabled": True},
        "receipts": {"enabled": True, "rooms": ["*"]},
        "typing": {"enabled": True},
    },
}


async def slides(
    user: User, body: dict[str, Any] = ELEMENT_X, *, pos: str | None = None, timeout_ms: int = 0
) -> dict[str, Any]:
    query = f"?timeout={timeout_ms}" + ("" if pos is None else f"&pos={pos}")
    return await user.request("POST", UNSTABLE + query, body)


async def test_the_first_answer_has_the_newest_rooms_first(alice: User, bob: User) -> None:
    old = await alice.creates_room(name="Old")
    new = await alice.creates_room(inviting=bob, name="New")
    await bob.joins(new)
    await alice.says(new, "hello")
    await alice.says(old, "the last word")
    answer = await slides(alice)
    assert answer["lists"] == {"all_rooms": {"count": 2}}
    room = answer["rooms"][old]
    assert room["initial"] is True
    assert room["name"] == "Old"
    assert [event["content"]["body"] for event in room["timeline"]] == ["the last word"]
    assert "room_id" not in room["timeline"][0]
    assert room["limited"] is True
    assert room["num_live"] == 0
    assert room["joined_count"] == 1
    state = {(event["type"], event["state_key"]) for event in room["required_state"]}
    assert state == {("m.room.name", ""), ("m.room.create", ""), ("m.room.member", alice.user_id)}
    assert answer["extensions"]["account_data"]["global"]
    narrow = {
        **ELEMENT_X,
        "conn_id": "narrow",
        "lists": {"top": {**ELEMENT_X["lists"]["all_rooms"], "ranges": [[0, 0]]}},
    }
    assert list((await slides(alice, narrow))["rooms"]) == [old]


async def test_what_comes_later_ends_the_wait(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea")
    first = await slides(bob)
    assert first["rooms"][room]["invite_state"]
    await bob.joins(room)
    second = await slides(bob, pos=first["pos"])
    assert second["rooms"][room]["initial"] is True
    waiting = Deferred.fromCoroutine(slides(bob, pos=second["pos"], timeout_ms=30_000))
    await server.passes(1)
    assert not waiting.called
    await alice.says(room, "hello")
    third = await waiting
    shown = third["rooms"][room]
    assert [event["content"]["body"] for event in shown["timeline"]] == ["hello"]
    assert shown["num_live"] == 1
    assert shown["limited"] is False
    assert shown["notification_count"] == 1
    assert [event["state_key"] for event in shown["required_state"]] == [alice.user_id]
    await alice.types_in(room)
    fourth = await slides(bob, pos=third["pos"], timeout_ms=30_000)
    assert fourth["extensions"]["typing"]["rooms"][room]["content"]["user_ids"] == [alice.user_id]
    # A retry of the same position is answered from the same place.
    again = await slides(bob, pos=third["pos"])
    assert again["extensions"]["typing"] == fourth["extensions"]["typing"]


async def test_nothing_new_waits_for_the_timeout(server: Server, alice: User) -> None:
    await alice.creates_room()
    first = await slides(alice)
    answer = await slides(alice, pos=first["pos"], timeout_ms=5_000)
    assert answer["rooms"] == {}


async def test_an_expanded_timeline_is_sent_at_once(alice: User) -> None:
    room = await alice.creates_room()
    for number in range(10):
        await alice.says(room, str(number))
    first = await slides(alice)
    wide = {
        **ELEMENT_X,
        "room_subscriptions": {room: {"timeline_limit": 5, "required_state": [["m.room.topic", ""]]}},
    }
    answer = await slides(alice, wide, pos=first["pos"], timeout_ms=30_000)
    shown = answer["rooms"][room]
    assert [event["content"]["body"] for event in shown["timeline"]] == ["5", "6", "7", "8", "9"]
    assert shown["unstable_expanded_timeline"] is True
    assert shown["limited"] is True


async def test_unknown_positions_and_greed_are_refused(alice: User) -> None:
    with refused("M_UNKNOWN_POS", 400):
        await slides(alice, pos="1/s5_0")
    first = await slides(alice)
    with refused("M_UNKNOWN_POS", 400):
        await slides(alice, {**ELEMENT_X, "conn_id": "other"}, pos=first["pos"])
    with refused("M_INVALID_PARAM", 400):
        await slides(alice, {"lists": {"l": {"timeline_limit": 5000}}})
    with refused("M_INVALID_PARAM", 400):
        await slides(alice, {"lists": {"l": {"ranges": [[5, 2]]}}})
    with refused("M_BAD_JSON", 400):
        await slides(alice, {"lists": {"l": {"timeline_limit": "many"}}})


@pytest.mark.parametrize("kicked", [True, False])
async def test_a_room_that_was_left_is_sent_once(alice: User, bob: User, *, kicked: bool) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    first = await slides(bob)
    await (alice.kicks(room, bob) if kicked else bob.leaves(room))
    await alice.says(room, "he will not see this")
    second = await slides(bob, pos=first["pos"])
    events = second["rooms"][room]["timeline"]
    assert events[-1]["content"]["membership"] == "leave"
    third = await slides(bob, pos=second["pos"])
    assert third["rooms"] == {}


async def test_the_stable_dialect(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea")
    await bob.joins(room)
    body = {
        "lists": {
            "all": {
                "timeline_limit": 3,
                "range": [0, 10],
                "required_state": {"include": [{"type": "m.room.name"}], "lazy_members": True},
            }
        }
    }
    first = await alice.request("POST", STABLE, body)
    shown = first["rooms"][room]
    assert shown["membership"] == "join"
    assert shown["lists"] == ["all"]
    await alice.sets(room, "m.room.name", {})
    second = await alice.request("POST", STABLE, {**body, "pos": first["pos"]})
    assert second["rooms"][room]["name"] is None


async def test_messages_to_a_device_stay_until_they_are_acknowledged(alice: User, bob: User) -> None:
    asks = {
        "conn_id": "encryption",
        "extensions": {"to_device": {"enabled": True}, "e2ee": {"enabled": True}},
    }
    first = await slides(bob, asks)
    assert first["extensions"]["to_device"]["events"] == []
    assert first["extensions"]["e2ee"]["device_one_time_keys_count"] == {"signed_curve25519": 0}
    path = f"/_matrix/client/v3/sendToDevice/test.kind/{alice.new_transaction_id()}"
    await alice.request("PUT", path, {"messages": {bob.user_id: {bob.device_id: {"secret": 1}}}})
    second = await slides(bob, asks, pos=first["pos"], timeout_ms=30_000)
    box = second["extensions"]["to_device"]
    assert [event["content"] for event in box["events"]] == [{"secret": 1}]
    again = await slides(bob, asks)
    assert again["extensions"]["to_device"]["events"] == box["events"]
    has_it = {**asks, "extensions": {"to_device": {"enabled": True, "since": box["next_batch"]}}}
    assert (await slides(bob, has_it))["extensions"]["to_device"]["events"] == []
    assert (await slides(bob, asks))["extensions"]["to_device"]["events"] == []
