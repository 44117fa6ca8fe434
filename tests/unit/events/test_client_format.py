"""Clients read the same event whether it is made from the parsed content or from the stored bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.client_format import client_event, client_event_json
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, V5, V10, V11, RoomVersion
from tests.harness.pure_room import ALICE, BOB, PureRoom

ALL_VERSIONS = list(ROOM_VERSIONS.values())
UNSIGNED: dict[str, Any] = {
    "age": 5,
    "transaction_id": "t",
    "prev_content": {"membership": "invite"},
    "replaces_state": "$e",
    "membership": "join",
}


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
@pytest.mark.parametrize("unsigned", [None, {}, UNSIGNED], ids=["none", "empty", "full"])
def test_bytes_and_dict_agree(version: RoomVersion, unsigned: dict[str, Any] | None) -> None:
    room = PureRoom(version)
    for event in (
        room.create,
        room.makes("m.room.message", ALICE, {"body": "é\u2028😀"}),
        room.makes_member(BOB, "join"),
        room.makes("m.room.topic", ALICE, {}, state_key=""),
        room.makes("m.room.redaction", ALICE, {"reason": "x"}, redacts="$e"),
        room.makes("m.room.redaction", ALICE),
    ):
        shown = client_event(event, unsigned)
        assert json.loads(client_event_json(event, unsigned)) == shown
        stored = Event.from_json(event.json, version, event.event_id)
        assert json.loads(client_event_json(stored, unsigned)) == shown
        assert shown["unsigned"] == (unsigned or {})
        assert (shown["event_id"], shown["room_id"]) == (event.event_id, event.room_id)
        assert ("state_key" in shown) is event.is_state
        assert not {"hashes", "signatures", "depth", "prev_events", "auth_events"} & set(shown)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_redacts_stands_at_both_places(version: RoomVersion) -> None:
    event = PureRoom(version).makes("m.room.redaction", ALICE, {"reason": "x"}, redacts="$e")
    shown = client_event(event)
    assert shown["redacts"] == "$e"
    assert shown["content"] == {"reason": "x", "redacts": "$e"}


def test_redacts_of_other_events_is_left_alone() -> None:
    for version in (V10, V11):
        shown = client_event(PureRoom(version).makes("m.x", ALICE, {"redacts": "$e"}))
        assert "redacts" not in shown


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_old_floats_reach_the_client(value: float) -> None:
    event = PureRoom(V5).makes("m.x", ALICE, {"n": value})
    assert json.loads(client_event_json(event))["content"] == {"n": value}
