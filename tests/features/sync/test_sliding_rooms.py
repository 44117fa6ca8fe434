"""What sliding sync sends of a room as windows move, subscriptions come and go, and rooms are left."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.features.sync.test_sliding import STABLE, slides
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

NAMES = [["m.room.name", ""]]
PINS = [["m.room.pinned_events", ""]]


def window(first: int = 0, last: int = 9, **config: Any) -> dict[str, Any]:
    shown = {"ranges": [[first, last]], "timeline_limit": 1, "required_state": NAMES, **config}
    return {"lists": {"all": shown}}


def looking_into(room: str, *, limit: int = 20) -> dict[str, Any]:
    return {**window(), "room_subscriptions": {room: {"timeline_limit": limit, "required_state": PINS}}}


def bodies(room: dict[str, Any]) -> list[str]:
    return [event["content"].get("body", "") for event in room.get("timeline", [])]


def state_of(room: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(event["type"], event["state_key"]): event["content"] for event in room.get("required_state", [])}


async def test_state_that_changed_while_nobody_looked_is_sent_to_who_looks_again(alice: User) -> None:
    room = await alice.creates_room()
    await alice.sets(room, "m.room.pinned_events", {"pinned": ["$1"]})
    first = await slides(alice, looking_into(room))
    assert state_of(first["rooms"][room]) == {("m.room.pinned_events", ""): {"pinned": ["$1"]}}
    away = await slides(alice, window(), pos=first["pos"])
    await alice.sets(room, "m.room.pinned_events", {"pinned": ["$2"]})
    moved = await slides(alice, window(), pos=away["pos"])
    assert state_of(moved["rooms"][room]) == {}
    again = await slides(alice, looking_into(room), pos=moved["pos"], timeout_ms=30_000)
    assert state_of(again["rooms"][room]) == {("m.room.pinned_events", ""): {"pinned": ["$2"]}}


async def test_a_timeline_that_shrank_is_filled_again(alice: User) -> None:
    room = await alice.creates_room()
    for number in range(5):
        await alice.says(room, str(number))
    first = await slides(alice, looking_into(room, limit=3))
    away = await slides(alice, window(), pos=first["pos"])
    for number in range(5, 9):
        await alice.says(room, str(number))
    gap = await slides(alice, window(), pos=away["pos"])
    assert bodies(gap["rooms"][room]) == ["8"]
    assert gap["rooms"][room]["limited"] is True
    again = await slides(alice, looking_into(room, limit=3), pos=gap["pos"])
    assert bodies(again["rooms"][room]) == ["6", "7", "8"]
    assert again["rooms"][room]["unstable_expanded_timeline"] is True
    # All of the last two have been sent by now: there is nothing to expand.
    narrow = await slides(alice, window(), pos=again["pos"])
    assert (await slides(alice, looking_into(room, limit=2), pos=narrow["pos"]))["rooms"] == {}


async def test_what_was_missed_out_of_scope_comes_with_the_room(alice: User, bob: User) -> None:
    watched = await alice.creates_room(public=True)
    other = await alice.creates_room()
    await bob.joins(watched)
    asks = {
        **window(0, 0),
        "extensions": {
            "account_data": {"enabled": True},
            "typing": {"enabled": True},
            "receipts": {"enabled": True},
        },
    }
    event = await alice.says(watched, "hello")
    first = await slides(alice, asks)
    await alice.says(other, "on top")
    second = await slides(alice, asks, pos=first["pos"])
    assert list(second["rooms"]) == [other]
    await alice.keeps("test.mark", {"a": 1}, room=watched)
    await bob.reads(watched, event)
    await bob.types_in(watched)
    third = await slides(alice, asks, pos=second["pos"])
    parts = third["extensions"]
    assert (parts["account_data"]["rooms"], parts["typing"]["rooms"], parts["receipts"]["rooms"]) == (
        {},
        {},
        {},
    )
    await alice.says(watched, "back again")
    fourth = await slides(alice, asks, pos=third["pos"])
    parts = fourth["extensions"]
    assert parts["account_data"]["rooms"][watched] == [{"type": "test.mark", "content": {"a": 1}}]
    assert parts["typing"]["rooms"][watched]["content"]["user_ids"] == [bob.user_id]
    assert bob.user_id in parts["receipts"]["rooms"][watched]["content"][event]["m.read"]


async def test_receipts_on_events_that_an_expansion_brings(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    event = await alice.says(room, "read by bob")
    await bob.reads(room, event)
    await alice.says(room, "not yet")
    asks = {"extensions": {"receipts": {"enabled": True}}}
    first = await slides(alice, {**window(), **asks})
    assert first["extensions"]["receipts"]["rooms"] == {}
    wide = await slides(alice, {**looking_into(room), **asks}, pos=first["pos"])
    assert bob.user_id in wide["extensions"]["receipts"]["rooms"][room]["content"][event]["m.read"]


async def test_a_second_request_ends_the_wait_of_the_first(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    first = await slides(alice, window())
    waiting = Deferred.fromCoroutine(slides(alice, window(), pos=first["pos"], timeout_ms=30_000))
    await server.passes(1)
    assert not waiting.called
    newer = Deferred.fromCoroutine(slides(alice, window(), pos=first["pos"], timeout_ms=30_000))
    assert (await waiting)["rooms"] == {}
    for number in range(4):
        # Each wakes the request that waits; a position is used up only by an answer.
        await alice.keeps("test.unasked", {"number": number})
    await alice.says(room, "hello")
    answer = await newer
    assert bodies(answer["rooms"][room]) == ["hello"]
    assert (await slides(alice, window(), pos=answer["pos"]))["rooms"] == {}


async def test_only_what_people_read_moves_a_room_up(alice: User) -> None:
    room = await alice.creates_room()
    await alice.says(room, "hello")
    first = await slides(alice, window())
    stamp = first["rooms"][room]["bump_stamp"]
    for number in range(110):
        await alice.sets(room, "m.room.topic", {"topic": str(number)})
    second = await slides(alice, window(), pos=first["pos"])
    assert second["rooms"][room]["bump_stamp"] == stamp
    await alice.sets(room, "m.beacon_info", {"timeout": 1}, state_key=alice.user_id)
    third = await slides(alice, window(), pos=second["pos"])
    assert third["rooms"][room]["bump_stamp"] > stamp


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_kicked_user_gets_the_state_up_to_the_kick(
    server: Server, alice: User, bob: User, *, restarted: bool
) -> None:
    room = await alice.creates_room(inviting=bob, name="Before")
    await bob.joins(room)
    first = await slides(bob, window())
    await alice.sets(room, "m.room.name", {"name": "After"})
    await alice.kicks(room, bob)
    await alice.sets(room, "m.room.name", {"name": "Secret"})
    if restarted:
        await server.restarts()
    answer = await slides(bob, window(), pos=None if restarted else first["pos"])
    shown = answer["rooms"][room]
    assert state_of(shown)["m.room.name", ""] == {"name": "After"}
    assert shown["timeline"][-1]["content"]["membership"] == "leave"
    assert (await slides(bob, window(), pos=answer["pos"]))["rooms"] == {}


async def test_an_invitation_that_was_declined_is_taken_away(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    first = await slides(bob, window())
    assert "invite_state" in first["rooms"][room]
    await bob.leaves(room)
    gone = (await slides(bob, window(), pos=first["pos"]))["rooms"][room]
    assert gone["required_state"][0]["content"]["membership"] == "leave"
    fresh = await slides(bob, window())
    assert room not in fresh["rooms"]


async def test_who_was_never_there_is_not_told_of_being_put_out(
    server: Server, alice: User, bob: User
) -> None:
    banned, rescinded = await alice.creates_room(), await alice.creates_room(inviting=bob)
    invited = await slides(bob, window())
    assert list(invited["rooms"]) == [rescinded]
    await alice.bans(banned, bob)
    await alice.kicks(rescinded, bob)
    told = await slides(bob, window(), pos=invited["pos"])
    assert list(told["rooms"]) == [rescinded]
    assert (await slides(bob, window()))["rooms"] == {}
    await server.restarts()
    assert (await slides(bob, window()))["rooms"] == {}


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"is_dm": True}, ["direct"]),
    ({"is_encrypted": True}, ["secret"]),
    ({"is_invite": True}, ["invited"]),
    ({"room_types": ["m.space"]}, ["space"]),
    ({"not_room_types": ["m.space"]}, ["direct", "invited", "secret"]),
    ({"room_types": [None], "is_invite": False}, ["direct", "secret"]),
    ({"tags": ["m.favourite"]}, ["secret"]),
    ({"not_tags": ["m.favourite"], "is_invite": False}, ["direct", "space"]),
    ({"tags": ["m.favourite"], "not_tags": ["m.favourite"]}, []),
]


async def test_filters(alice: User, bob: User) -> None:
    encrypted = {
        "type": "m.room.encryption",
        "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
    }
    rooms = {
        "direct": await alice.creates_room(name="direct"),
        "secret": await alice.creates_room(initial_state=[encrypted]),
        "space": await alice.creates_room(creation_content={"type": "m.space"}),
        "invited": await bob.creates_room(inviting=alice),
    }
    await alice.keeps("m.direct", {bob.user_id: [rooms["direct"]]})
    await alice.request(
        "PUT", f"/user/{alice.user_id}/rooms/{rooms['secret']}/tags/m.favourite", {"order": 0.5}
    )
    for filters, names in FILTERS:
        answer = await slides(alice, window(filters=filters))
        assert sorted(name for name, room in rooms.items() if room in answer["rooms"]) == names, filters
        assert answer["lists"]["all"]["count"] == len(names)


async def test_the_rooms_of_spaces(alice: User) -> None:
    space = await alice.creates_room(creation_content={"type": "m.space"})
    inside, _outside = await alice.creates_room(), await alice.creates_room()
    await alice.sets(space, "m.space.child", {"via": ["localhost"]}, state_key=inside)
    answer = await slides(alice, window(filters={"spaces": [space]}))
    assert list(answer["rooms"]) == [inside]


async def test_members_come_with_what_they_say(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await carol.joins(room)
    await bob.says(room, "hello")
    lazy = window(required_state=[["m.room.member", "$LAZY"], ["m.room.member", "$ME"]])
    first = await slides(alice, lazy)
    assert {key for _, key in state_of(first["rooms"][room])} == {alice.user_id, bob.user_id}
    await bob.says(room, "still me")
    second = await slides(alice, lazy, pos=first["pos"])
    assert state_of(second["rooms"][room]) == {}
    await carol.says(room, "and me")
    third = await slides(alice, lazy, pos=second["pos"])
    assert {key for _, key in state_of(third["rooms"][room])} == {carol.user_id}
    everybody = window(required_state=[["m.room.member", "*"], ["m.room.member", "$LAZY"]])
    fourth = await slides(alice, everybody, pos=third["pos"])
    assert {key for _, key in state_of(fourth["rooms"][room])} == {bob.user_id, carol.user_id}


async def test_asking_for_members_later_brings_those_who_have_spoken(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await bob.says(room, "hello")
    first = await slides(alice, window())
    lazy = window(required_state=[*NAMES, ["m.room.member", "$LAZY"]])
    second = await slides(alice, lazy, pos=first["pos"])
    assert {key for _, key in state_of(second["rooms"][room])} == {bob.user_id}


def stable(**config: Any) -> dict[str, Any]:
    return {"lists": {"all": {"timeline_limit": 1, **config}}}


async def test_the_stable_dialect_excludes_and_names_lists(alice: User, bob: User) -> None:
    room = await alice.creates_room(name="Tea", topic="cakes")
    await alice.invites(room, bob)
    asks = stable(
        required_state={
            "include": [{}],
            "exclude": [{"type": "m.room.topic"}, {"type": "m.room.member", "state_key": bob.user_id}],
        }
    )
    shown = (await alice.request("POST", STABLE, asks))["rooms"][room]
    state = state_of(shown)
    assert ("m.room.name", "") in state
    assert ("m.room.topic", "") not in state
    assert ("m.room.member", bob.user_id) not in state
    own = stable(required_state={"include": [{"type": "m.room.member", "state_key": "$ME"}]})
    shown = (await alice.request("POST", STABLE, own))["rooms"][room]
    assert list(state_of(shown)) == [("m.room.member", alice.user_id)]
    invitation = (await bob.request("POST", STABLE, stable()))["rooms"][room]
    assert (invitation["membership"], invitation["lists"]) == ("invite", ["all"])
    assert any(event["type"] == "m.room.create" for event in invitation["stripped_state"])


async def test_malformed_requests_are_refused(alice: User) -> None:
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", STABLE, {**stable(), "set_presence": "asleep"})
    with refused("M_INVALID_PARAM", 400):
        await slides(alice, {**window(), "conn_id": "x" * 300})
    with refused("M_INVALID_PARAM", 400):
        await slides(alice, {"lists": {str(n): {"timeline_limit": 1} for n in range(101)}})
    rooms = {f"!{n}:localhost": {"timeline_limit": 1} for n in range(101)}
    with refused("M_INVALID_PARAM", 400):
        await slides(alice, {"room_subscriptions": rooms})


async def test_rooms_of_others_are_passed_over_in_silence(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    answer = await slides(bob, looking_into(room))
    assert answer["rooms"] == {}
    missing = await slides(bob, looking_into("!nowhere:localhost"))
    assert missing["rooms"] == {}
