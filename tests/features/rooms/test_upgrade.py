"""Moving a room to another version.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
"""

from __future__ import annotations

import pytest

from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


@pytest.mark.parametrize(
    ("old", "new"), [("1", "12"), ("10", "11"), ("11", "12"), ("12", "12"), ("12", "10")]
)
async def test_what_makes_the_room_comes_along(
    server: Server, alice: User, bob: User, carol: User, old: str, new: str
) -> None:
    room = await alice.creates_room(
        inviting=bob, version=old, name="Tea", topic="cakes", public=True, room_alias_name="tea"
    )
    await bob.joins(room)
    await alice.bans(room, carol)
    levels = await alice.state(room, "m.room.power_levels")
    await alice.sets(room, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.user_id: 50}})
    last = await alice.says(room, "we move")
    assert last
    answer = await alice.request("POST", f"/rooms/{room}/upgrade", {"new_version": new})
    moved = answer["replacement_room"]
    tombstone = await bob.state(room, "m.room.tombstone")
    assert tombstone["replacement_room"] == moved
    create = await alice.state(moved, "m.room.create")
    assert create["room_version"] == new
    assert create["predecessor"]["room_id"] == room
    assert (await alice.state(moved, "m.room.name"))["name"] == "Tea"
    assert (await alice.state(moved, "m.room.topic"))["topic"] == "cakes"
    assert (await alice.state(moved, "m.room.join_rules"))["join_rule"] == "public"
    assert (await alice.state(moved, "m.room.member", carol.user_id))["membership"] == "ban"
    assert (await alice.state(moved, "m.room.power_levels"))["users"][bob.user_id] == 50
    found = await bob.request("GET", f"/directory/room/%23tea:{server.name}")
    assert found["room_id"] == moved
    await bob.joins(moved)
    with refused("M_FORBIDDEN", 403):
        await carol.joins(moved)
    restricted = await alice.state(room, "m.room.power_levels")
    assert restricted["events_default"] >= 50
    assert restricted["invite"] >= 50


async def test_upgrading_is_for_those_with_the_power(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, version="11")
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/rooms/{room}/upgrade", {"new_version": "12"})
    with refused("M_UNSUPPORTED_ROOM_VERSION", 400):
        await alice.request("POST", f"/rooms/{room}/upgrade", {"new_version": "99"})
    with refused("M_BAD_JSON", 400):
        await alice.request("POST", f"/rooms/{room}/upgrade", {})


async def test_more_creators_may_be_named(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, version="11")
    await bob.joins(room)
    body = {"new_version": "12", "additional_creators": [bob.user_id]}
    moved = (await alice.request("POST", f"/rooms/{room}/upgrade", body))["replacement_room"]
    assert (await alice.state(moved, "m.room.create"))["additional_creators"] == [bob.user_id]
