"""Stripped state shows as much of a room as an invitation needs, and lets nothing else through."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.events.room_versions import V12
from homeserver.events.stripped_state import parse_stripped_state, stripped_event, stripped_state
from tests.harness.pure_room import ALICE, BOB, PureRoom


def test_what_an_invitation_shows() -> None:
    room = PureRoom(V12)
    for event_type in ("m.room.name", "m.room.secret", "m.room.encryption", "m.room.topic"):
        room.has(event_type, ALICE, {"x": 1}, state_key="")
    room.has_join_rule("invite")
    room.has_member(BOB, "join")
    shown = stripped_state(room.state, sender=ALICE)
    assert [(event.type, event.state_key) for event in shown] == [
        ("m.room.create", ""),
        ("m.room.join_rules", ""),
        ("m.room.name", ""),
        ("m.room.topic", ""),
        ("m.room.encryption", ""),
        ("m.room.member", ALICE),
    ]
    assert stripped_event(shown[2]) == {
        "type": "m.room.name",
        "state_key": "",
        "sender": ALICE,
        "content": {"x": 1},
    }


def test_pdus_are_pruned() -> None:
    room = PureRoom(V12)
    received = [room.create.pdu, stripped_event(room.state["m.room.member", ALICE])]
    assert parse_stripped_state(received) == [stripped_event(event) for event in room.events]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        5,
        {},
        {"type": "m.x", "state_key": "", "sender": "@a:b"},
        {"type": "m.x", "state_key": "", "sender": "@a:b", "content": []},
        {"type": "m.x", "state_key": None, "sender": "@a:b", "content": {}},
        {"type": 5, "state_key": "", "sender": "@a:b", "content": {}},
    ],
    ids=repr,
)
def test_what_is_no_event_is_left_out(entry: Any) -> None:
    assert parse_stripped_state([entry]) == []
    assert parse_stripped_state(entry) == []
