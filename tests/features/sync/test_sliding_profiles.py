"""Profiles over sliding sync (MSC4262): of those who share a room, and whatever changes of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.features.sync.test_sliding import slides
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

NAME = "org.matrix.msc4262.profiles"
STATUS = "org.example.status"


def asks(*fields: str, state: Any = ()) -> dict[str, Any]:
    rooms = {"ranges": [[0, 9]], "timeline_limit": 1, "required_state": list(state)}
    config = {"enabled": True} | ({"fields": list(fields)} if fields else {})
    return {"lists": {"all": rooms}, "extensions": {NAME: config}}


def told(answer: dict[str, Any]) -> Any:
    return answer["extensions"][NAME]["users"]


async def test_members_first_and_then_what_changes(
    server: Server, alice: User, bob: User, carol: User
) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await bob.sets_profile(STATUS, "busy")
    await carol.sets_profile(STATUS, "nobody asked")
    only = asks(STATUS)
    first = await slides(alice, only)
    assert told(first) == {bob.user_id: {"updated": {STATUS: "busy"}}}
    waiting = Deferred.fromCoroutine(slides(alice, only, pos=first["pos"], timeout_ms=30_000))
    await carol.sets_profile(STATUS, "still nobody")
    await bob.sets_profile("org.example.other", "nobody asked for this")
    await server.passes(1)
    assert not waiting.called
    await bob.sets_profile(STATUS, "free")
    second = await waiting
    assert told(second) == {bob.user_id: {"updated": {STATUS: "free"}}}
    await bob.request("DELETE", f"/profile/{bob.user_id}/{STATUS}")
    await alice.sets_profile(STATUS, "here")
    third = await slides(alice, only, pos=second["pos"])
    assert told(third) == {
        bob.user_id: {"removed": [STATUS]},
        alice.user_id: {"updated": {STATUS: "here"}},
    }
    # An answer that was lost is made again.
    assert told(await slides(alice, only, pos=second["pos"])) == told(third)
    more = await slides(alice, asks(STATUS, "displayname"), pos=third["pos"])
    assert told(more)[bob.user_id] == {"updated": {"displayname": "bob"}}


async def test_whoever_shares_no_room_any_more_is_told(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    first = await slides(alice, asks())
    assert told(first)[bob.user_id]["updated"]["displayname"] == "bob"
    await bob.leaves(room)
    second = await slides(alice, asks(), pos=first["pos"])
    assert told(second) == {bob.user_id: None}
    await bob.sets_profile(STATUS, "unseen")
    assert told(await slides(alice, asks(), pos=second["pos"])) == {}


async def test_lazy_members_come_when_they_speak(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await alice.says(room, "hello")
    lazy = asks("displayname", state=[["m.room.member", "$LAZY"]])
    first = await slides(alice, lazy)
    assert told(first).keys() == {alice.user_id}
    await bob.says(room, "hello")
    second = await slides(alice, lazy, pos=first["pos"])
    assert told(second) == {bob.user_id: {"updated": {"displayname": "bob"}}}


async def test_fields_that_are_none(alice: User) -> None:
    for fields in ("displayname", [1], ["x"] * 101):
        with refused("M_INVALID_PARAM", 400):
            await slides(alice, {"extensions": {NAME: {"enabled": True, "fields": fields}}})
