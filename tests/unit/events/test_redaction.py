"""Redaction removes what its room version says, twice is once, and the event's ID stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.power_levels import PowerLevels
from homeserver.events.redaction import may_redact, redact, redact_event
from homeserver.events.room_versions import ROOM_VERSIONS, V1, V2, V3, V11, V12, RoomVersion
from homeserver.events.signatures import VerifyKey, event_id_of, reference_hash, verify_event
from tests.harness.pure_room import ALICE, BOB, CAROL, KEY, PureRoom

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/vectors.json").read_text())
CASES = [
    pytest.param(vector["event"], result, ROOM_VERSIONS[version], id=f"{vector['name']}-v{version}")
    for vector in VECTORS["derived"]["redaction_and_reference_hash"]
    for result in vector["results"]
    for version in result["room_versions"]
]

versions = st.sampled_from(list(ROOM_VERSIONS.values()))
types = st.sampled_from(
    [
        "m.room.member",
        "m.room.create",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.aliases",
        "m.room.history_visibility",
        "m.room.redaction",
        "m.room.message",
    ]
)
names = st.sampled_from(
    [
        "membership",
        "join_authorised_via_users_server",
        "third_party_invite",
        "creator",
        "join_rule",
        "allow",
        "ban",
        "events",
        "invite",
        "users",
        "aliases",
        "history_visibility",
        "redacts",
        "notifications",
        "body",
    ]
)
contents = st.dictionaries(
    names, st.integers(0, 9) | st.dictionaries(st.sampled_from(["signed", "x"]), st.none())
)


@pytest.mark.parametrize(("event", "result", "version"), CASES)
def test_the_vectors(event: dict[str, Any], result: dict[str, Any], version: RoomVersion) -> None:
    assert redact(event, version) == result["redacted"]
    assert reference_hash(event, version).hex() == result["reference_hash_hex"]
    if version.event_ids_are_hashes:
        assert event_id_of(event, version) == result["event_id"]


@given(versions, types, contents, st.none() | st.just("$target"))
def test_redacting_twice_is_redacting_once(
    version: RoomVersion, event_type: str, content: dict[str, Any], redacts: Any
) -> None:
    event = PureRoom(version).makes(event_type, ALICE, content, state_key="", redacts=redacts)
    once = redact_event(event)
    assert redact_event(once).json == once.json
    assert redact(event.pdu, version) == once.pdu


@given(versions, types, contents)
def test_a_redacted_event_is_the_same_event(
    version: RoomVersion, event_type: str, content: dict[str, Any]
) -> None:
    event = PureRoom(version).makes(event_type, ALICE, content, state_key="")
    redacted = redact_event(event)
    assert redacted.event_id == event.event_id == event_id_of(redacted.pdu, version)
    assert redacted.room_id == event.room_id
    if content.get("join_authorised_via_users_server") is None:
        verify_event(redacted, {event.domain: {KEY.key_id: VerifyKey(KEY.public)}})


def test_an_empty_third_party_invite_stays_empty() -> None:
    room = PureRoom(V11)
    event = room.makes_member(ALICE, "join", third_party_invite={"display_name": "x"})
    assert redact_event(event).content == {"membership": "join", "third_party_invite": {}}
    event = room.makes_member(ALICE, "join", third_party_invite="x")
    assert redact_event(event).content == {"membership": "join"}


@pytest.mark.parametrize("version", [V3, V11, V12], ids=repr)
@pytest.mark.parametrize(
    ("redactor", "author", "allowed"),
    [(ALICE, BOB, True), (BOB, BOB, True), ("@other:two", BOB, True), (CAROL, BOB, False)],
)
def test_who_may_redact(version: RoomVersion, redactor: str, author: str, allowed: bool) -> None:
    room = PureRoom(version)
    target = room.has("m.room.message", author, {"body": "x"})
    redaction = room.makes("m.room.redaction", redactor, {}, redacts=target.event_id)
    assert may_redact(redaction, target, PowerLevels.of_state(room.state, room.create)) is allowed


@pytest.mark.parametrize("version", [V1, V2], ids=repr)
def test_the_rules_of_old_have_decided_already(version: RoomVersion) -> None:
    room = PureRoom(version)
    target = room.has("m.room.message", BOB, {"body": "x"})
    redaction = room.makes("m.room.redaction", CAROL, {}, redacts=target.event_id)
    assert may_redact(redaction, target, PowerLevels.of_state(room.state, room.create))


@pytest.mark.parametrize("version", [V1, V12], ids=repr)
def test_a_redaction_only_meets_its_target_in_its_own_room(version: RoomVersion) -> None:
    room, other = PureRoom(version), PureRoom(version, create={"x": 1})
    levels = PowerLevels.of_state(room.state, room.create)
    target, second = room.has("m.room.message", ALICE, {}), room.has("m.room.message", ALICE, {})
    assert not may_redact(room.makes("m.room.redaction", ALICE, {}, redacts=target.event_id), second, levels)
    assert not may_redact(room.makes("m.room.redaction", ALICE, {}), target, levels)
    elsewhere = other.makes("m.room.redaction", ALICE, {}, redacts=target.event_id, room_id="!elsewhere:one")
    assert not may_redact(elsewhere, target, levels)
