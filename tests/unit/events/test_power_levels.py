"""Power levels: defaults, old spellings, and creators without bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homeserver.events.canonical_json import decode_json
from homeserver.events.power_levels import INFINITE, PowerLevels, creators_of, parse_level
from homeserver.events.room_versions import ROOM_VERSIONS, V1, V5, V6, V9, V10, V11, V12, RoomVersion
from tests.harness.pure_room import ALICE, BOB, CAROL, PureRoom

VECTORS = json.loads((Path(__file__).parents[2] / "data/vectors.json").read_text())["power_level_values"]
ALL_VERSIONS = list(ROOM_VERSIONS.values())


def levels_of(room: PureRoom) -> PowerLevels:
    return PowerLevels.of_state(room.state, room.create)


@pytest.mark.parametrize(
    "vector", VECTORS["room_versions_1_to_9_strings"], ids=lambda vector: vector["input"]
)
def test_string_levels(vector: dict[str, Any]) -> None:
    for version in ALL_VERSIONS:
        expected = vector["value"] if int(version.id) <= 9 else None
        assert parse_level(vector["input"], version) == expected


@pytest.mark.parametrize("vector", VECTORS["room_versions_1_to_5_floats"], ids=lambda vector: vector["json"])
def test_float_levels(vector: dict[str, Any]) -> None:
    for version in ALL_VERSIONS:
        expected = vector["value"] if int(version.id) <= 5 else None
        assert parse_level(decode_json(vector["json"]), version) == expected


@pytest.mark.parametrize(
    "value", ["", "abc", "1.5", "1e2", "0x10", "1_000", "--1", "9" * 5000, None, [], {}, True]
)
@pytest.mark.parametrize("version", [V1, V9, V12], ids=repr)
def test_what_is_no_level(value: Any, version: RoomVersion) -> None:
    assert parse_level(value, version) is None


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_floats_without_end_are_no_level(value: float) -> None:
    assert parse_level(value, V1) is None


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_without_power_levels_the_creator_rules(version: RoomVersion) -> None:
    levels = levels_of(PureRoom(version))
    assert levels.user(ALICE) == (INFINITE if version is V12 else 100)
    assert levels.user(BOB) == 0
    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (50, 50, 50, 0)
    assert levels.event("m.room.topic", is_state=True) == 50
    assert levels.event("m.room.message", is_state=False) == 0
    assert levels.notification("room") == 50


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_with_power_levels_what_they_say_holds(version: RoomVersion) -> None:
    room = PureRoom(version)
    room.has_power_levels(
        users={BOB: 60},
        users_default=5,
        events={"m.room.topic": 70},
        events_default=10,
        state_default=20,
        ban=1,
        kick=2,
        redact=3,
        invite=4,
        notifications={"room": 6},
    )
    levels = levels_of(room)
    assert [levels.user(user) for user in (ALICE, BOB, CAROL)] == [INFINITE if version is V12 else 5, 60, 5]
    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (1, 2, 3, 4)
    assert levels.event("m.room.topic", is_state=True) == levels.event("m.room.topic", is_state=False) == 70
    assert levels.event("m.room.name", is_state=True) == 20
    assert levels.event("m.room.message", is_state=False) == 10
    assert (levels.notification("room"), levels.notification("other")) == (6, 50)


def test_an_empty_power_levels_event_takes_the_creators_power_away() -> None:
    room = PureRoom(V11)
    room.has_power_levels()
    assert levels_of(room).user(ALICE) == 0


def test_malformed_values_count_as_missing() -> None:
    room = PureRoom(V5)
    room.has_power_levels(
        users={BOB: "x"}, events=[], ban=None, kick="high", state_default=[1], users_default=50.9
    )
    levels = levels_of(room)
    assert (levels.user(BOB), levels.ban, levels.kick, levels.state_default) == (50, 50, 50, 50)


def test_who_created_a_room() -> None:
    additional = {"additional_creators": [BOB, 5]}
    assert creators_of(PureRoom(V10, create={"creator": "x", **additional}).create) == {ALICE}
    assert creators_of(PureRoom(V11, create={"creator": BOB, **additional}).create) == {ALICE}
    assert creators_of(PureRoom(V12, create={"creator": CAROL, **additional}).create) == {ALICE, BOB}
    assert creators_of(PureRoom(V12, create={"additional_creators": BOB}).create) == {ALICE}
    malformed = PureRoom(V6)
    malformed.create.content["creator"] = 5
    assert creators_of(malformed.create) == frozenset()


def test_creators_are_infinitely_powerful_whatever_is_written() -> None:
    room = PureRoom(V12, create={"additional_creators": [BOB]})
    room.has_power_levels(users={ALICE: 5, CAROL: 2**53 - 1})
    levels = levels_of(room)
    assert levels.creators == {ALICE, BOB}
    assert levels.user(ALICE) == levels.user(BOB) == INFINITE > levels.user(CAROL)
    assert PowerLevels.of(None, PureRoom(V10).create, V10).creators == frozenset()
