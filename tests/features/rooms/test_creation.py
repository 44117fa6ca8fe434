"""Making rooms: everything that `createRoom` takes, and what it refuses.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

PRESETS = {
    "private_chat": ("invite", "shared", "can_join"),
    "trusted_private_chat": ("invite", "shared", "can_join"),
    "public_chat": ("public", "shared", "forbidden"),
}


@pytest.mark.parametrize("preset", PRESETS)
async def test_presets_decide_who_may_come_and_see(alice: User, preset: str) -> None:
    room = await alice.creates_room(preset=preset)
    join_rule, visibility, guests = PRESETS[preset]
    assert (await alice.state(room, "m.room.join_rules"))["join_rule"] == join_rule
    assert (await alice.state(room, "m.room.history_visibility"))["history_visibility"] == visibility
    found = {event["type"]: event["content"] for event in await alice.whole_state(room)}
    assert found.get("m.room.guest_access", {"guest_access": "forbidden"})["guest_access"] == guests


async def test_without_a_preset_visibility_decides(alice: User) -> None:
    answer = await alice.request("POST", "/createRoom", {"visibility": "public"})
    assert (await alice.state(answer["room_id"], "m.room.join_rules"))["join_rule"] == "public"
    answer = await alice.request("POST", "/createRoom", {})
    assert (await alice.state(answer["room_id"], "m.room.join_rules"))["join_rule"] == "invite"


async def test_everything_asked_for_is_there(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(
        inviting=bob,
        name="Tea",
        topic="cakes",
        room_alias_name="tea",
        is_direct=True,
        creation_content={"m.federate": False, "type": "m.space"},
        initial_state=[
            {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
            {"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
        ],
        power_level_content_override={"events_default": 10},
    )
    assert (await alice.state(room, "m.room.name"))["name"] == "Tea"
    topic = await alice.state(room, "m.room.topic")
    assert topic["topic"] == "cakes"
    assert topic["m.topic"]["m.text"] == [{"body": "cakes", "mimetype": "text/plain"}]
    assert (await alice.state(room, "m.room.canonical_alias"))["alias"] == f"#tea:{server.name}"
    create = await alice.state(room, "m.room.create")
    assert (create["m.federate"], create["type"]) == (False, "m.space")
    assert (await alice.state(room, "m.room.encryption"))["algorithm"] == "m.megolm.v1.aes-sha2"
    assert (await alice.state(room, "m.room.join_rules"))["join_rule"] == "knock"
    assert (await alice.state(room, "m.room.power_levels"))["events_default"] == 10
    invitation = await alice.state(room, "m.room.member", bob.user_id)
    assert (invitation["membership"], invitation["is_direct"]) == ("invite", True)


async def test_the_creators_of_version_12_stand_above_all(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, version="12", preset="trusted_private_chat", name="Tea")
    create = await alice.state(room, "m.room.create")
    assert create["additional_creators"] == [bob.user_id]
    levels = await alice.state(room, "m.room.power_levels")
    assert alice.user_id not in levels.get("users", {})
    assert levels["events"]["m.room.tombstone"] > levels["state_default"]
    await bob.joins(room)
    await bob.sets(room, "m.room.power_levels", {**levels, "users": {"@carol:elsewhere.test": 100}})
    with refused("M_FORBIDDEN", 403):
        await bob.sets(room, "m.room.power_levels", {**levels, "users": {alice.user_id: 50}})


async def test_trusted_guests_of_older_versions_stand_beside_the_creator(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, version="11", preset="trusted_private_chat")
    users = (await alice.state(room, "m.room.power_levels"))["users"]
    assert users == {alice.user_id: 100, bob.user_id: 100}


@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"room_version": "99"}, "M_UNSUPPORTED_ROOM_VERSION"),
        ({"preset": "no_chat"}, "M_BAD_JSON"),
        ({"visibility": "secret"}, "M_BAD_JSON"),
        ({"invite": ["bob"]}, "M_INVALID_PARAM"),
        ({"invite": "@bob:one.test"}, "M_BAD_JSON"),
        ({"room_alias_name": "a b:c"}, "M_INVALID_PARAM"),
        ({"name": 5}, "M_BAD_JSON"),
        ({"initial_state": [{"type": "m.room.name"}]}, "M_BAD_JSON"),
        ({"initial_state": {"type": "m.room.name", "content": {}}}, "M_BAD_JSON"),
        ({"creation_content": {"additional_creators": ["bob"]}}, "M_INVALID_PARAM"),
        (
            {"power_level_content_override": {"users": {"@alice:one.test": 0}}, "room_version": "12"},
            "M_INVALID_ROOM_STATE",
        ),
        ({"name": "x" * 70_000}, None),
        ({"initial_state": [{"type": "m.room.name", "content": {"name": 1.5}}]}, None),
    ],
)
async def test_what_cannot_be_is_refused_and_makes_no_room(
    alice: User, wrong: dict[str, Any], errcode: str | None
) -> None:
    answer = await alice.ask("POST", "/createRoom", wrong)
    assert answer.status in (400, 413), answer
    if errcode is not None:
        assert answer.errcode == errcode
    assert (await alice.request("GET", "/joined_rooms"))["joined_rooms"] == []


async def test_an_alias_is_given_once(alice: User, bob: User) -> None:
    await alice.creates_room(room_alias_name="tea")
    with refused("M_ROOM_IN_USE", 400):
        await bob.creates_room(room_alias_name="tea")
    assert (await bob.request("GET", "/joined_rooms"))["joined_rooms"] == []
