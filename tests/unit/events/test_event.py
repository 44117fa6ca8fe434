"""An event of the store, of another server and of our own are one and the same."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.errors import InvalidEvent
from homeserver.events.event import Event, create_id_of_room, room_id_of_create
from homeserver.events.room_versions import ROOM_VERSIONS, V1, V5, V6, V10, V11, V12, RoomVersion
from tests.harness.pure_room import ALICE, BOB, PureRoom

ALL_VERSIONS = list(ROOM_VERSIONS.values())


def fields_of(event: Event) -> dict[str, Any]:
    names = (
        "version event_id room_id type state_key sender origin_server_ts depth json content prev_events "
        "auth_events redacts hashes signatures pdu key is_state domain size"
    )
    return {name: getattr(event, name) for name in names.split()}


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_all_ways_lead_to_the_same_event(version: RoomVersion) -> None:
    room = PureRoom(version)
    for built in (
        room.create,
        room.makes("m.room.message", ALICE, {"body": "x"}),
        room.makes_member(BOB, "join"),
        room.makes("m.room.redaction", ALICE, {"reason": "x"}, redacts=room.create.event_id),
    ):
        received = Event.from_pdu({**built.pdu, "unsigned": {"age": 5}}, version)
        stored = Event.from_json(built.json, version, built.event_id)
        row = Event.from_row(
            version,
            built.event_id,
            built.room_id,
            built.type,
            built.state_key,
            built.sender,
            built.origin_server_ts,
            built.depth,
            built.json,
        )
        assert fields_of(received) == fields_of(built) == fields_of(stored) == fields_of(row)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_references_are_event_ids_in_every_version(version: RoomVersion) -> None:
    room = PureRoom(version)
    event = room.makes("m.room.message", ALICE)
    assert event.prev_events == (room.events[-1].event_id,)
    assert all(isinstance(event_id, str) for event_id in event.auth_events)


def test_the_federation_form_is_a_copy() -> None:
    event = PureRoom(V10).makes("m.room.message", ALICE, {"body": "x"})
    event.pdu["content"]["body"] = "y"
    assert event.pdu["content"] == {"body": "x"}


def test_redacts_is_where_the_version_keeps_it() -> None:
    old, new = PureRoom(V10), PureRoom(V11)
    assert old.makes("m.room.redaction", ALICE, redacts="$a").pdu["redacts"] == "$a"
    assert new.makes("m.room.redaction", ALICE, redacts="$a").content == {"redacts": "$a"}
    assert old.makes("m.room.redaction", ALICE, {"redacts": "$a"}).redacts is None
    assert new.makes("m.room.redaction", ALICE, {"redacts": ["$a"]}).redacts is None
    assert new.makes("m.room.message", ALICE, {"redacts": "$a"}).redacts is None


def test_an_event_shows_what_it_is() -> None:
    room = PureRoom(V10)
    assert repr(room.create) == f"Event({room.create.event_id} m.room.create '' in !room:one)"
    stored = Event.from_json(room.makes("m.x", ALICE).json, V10, room.create.event_id)
    assert len(stored.auth_events) == 2


def test_room_and_create_event_name_each_other_as_of_version_12() -> None:
    room = PureRoom(V12)
    assert "room_id" not in room.create.pdu
    assert room.create.room_id == room.room_id == room_id_of_create(room.create.event_id)
    assert create_id_of_room(room.create.room_id) == room.create.event_id
    assert room.makes("m.room.message", ALICE).pdu["room_id"] == room.room_id


def pdu_with(version: RoomVersion, changes: dict[str, Any]) -> dict[str, Any]:
    pdu = {**PureRoom(version).makes("m.room.topic", ALICE, {"topic": "x"}, state_key="").pdu, **changes}
    return {name: value for name, value in pdu.items() if value is not ...}


IDS = ["$" + "e" * 43]
MALFORMED: list[dict[str, Any]] = [
    *({field: ...} for field in ("type", "sender", "room_id", "content", "depth", "origin_server_ts")),
    *({field: ...} for field in ("hashes", "signatures", "prev_events", "auth_events")),
    *({field: 5} for field in ("type", "sender", "room_id", "state_key", "content", "hashes", "signatures")),
    *({field: 5} for field in ("prev_events", "auth_events")),
    *({field: value} for field in ("depth", "origin_server_ts") for value in ("5", 5.0, True, None)),
    *({field: "x" * 256} for field in ("type", "state_key")),
    *({field: "é" * 128} for field in ("type", "state_key")),
    {"type": "\ud800"},
    {"state_key": None},
    {"sender": "@" + "a" * 255 + ":one"},
    {"sender": "alice"},
    {"sender": "@alice"},
    {"sender": "@a\0:one"},
    {"room_id": "!" + "a" * 255},
    {"room_id": "room"},
    {"content": []},
    {"content": {"body": "\ud800"}},
    {"content": {"body": "x" * 65_536}},
    {"signatures": {"one": "x"}},
    {"depth": -1},
    {"depth": 2**63},
    {"prev_events": [5]},
    {"auth_events": [["$a", {}, {}]]},
    {"auth_events": [["$a", "hash"]]},
    {"prev_events": ["$" + "a" * 255]},
]


@pytest.mark.parametrize("version", [V1, V6, V12], ids=repr)
@pytest.mark.parametrize("changes", MALFORMED, ids=lambda changes: repr(changes)[:40])
def test_malformed_events_are_refused(version: RoomVersion, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu_with(version, changes), version)


@pytest.mark.parametrize("pdu", [None, [], "x", 5])
def test_an_event_is_an_object(pdu: Any) -> None:
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu, V10)


@pytest.mark.parametrize("version", [V1, V6], ids=repr)
def test_the_number_of_references_is_limited(version: RoomVersion) -> None:
    def references(count: int) -> list[Any]:
        ids = [f"${number}" for number in range(count)]
        return [[each, {"sha256": "x"}] for each in ids] if version.references_carry_hashes else list(ids)

    Event.from_pdu(pdu_with(version, {"prev_events": references(20), "auth_events": references(10)}), version)
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu_with(version, {"auth_events": references(11)}), version)
    many = pdu_with(version, {"prev_events": references(21)})
    with pytest.raises(InvalidEvent):
        Event.from_pdu(many, version)
    # The spec does not check those that come from /backfill.
    assert len(Event.from_pdu(many, version, backfilled=True).prev_events) == 21


def test_references_have_the_form_of_their_version() -> None:
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu_with(V1, {"prev_events": IDS}), V1)
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu_with(V10, {"prev_events": [[IDS[0], {}]]}), V10)


def test_the_event_id_is_a_field_only_of_old() -> None:
    for event_id in (..., 5, "x", "$" + "a" * 255):
        with pytest.raises(InvalidEvent):
            Event.from_pdu(pdu_with(V1, {"event_id": event_id}), V1)
    assert "event_id" not in PureRoom(V10).create.pdu


def test_depth_ends_where_the_version_ends_it() -> None:
    assert Event.from_pdu(pdu_with(V5, {"depth": 2**63 - 1}), V5).depth == 2**63 - 1
    assert Event.from_pdu(pdu_with(V6, {"depth": 2**53 - 1}), V6).depth == 2**53 - 1
    with pytest.raises(InvalidEvent):
        Event.from_pdu(pdu_with(V6, {"depth": 2**53}), V6)


def test_old_versions_carry_any_number_and_new_ones_none() -> None:
    for value in (1.5, 2**60, 1e300):
        pdu = pdu_with(V5, {"content": {"n": value}})
        event = Event.from_pdu(pdu, V5)
        assert Event.from_json(event.json, V5, event.event_id).content == {"n": value}
        with pytest.raises(InvalidEvent):
            Event.from_pdu(pdu_with(V6, {"content": {"n": value}}), V6)


def test_the_size_limit_is_that_of_the_signed_event() -> None:
    pdu = pdu_with(V10, {"content": {"body": ""}})
    room_left = 65_536 - Event.from_pdu(pdu, V10).size
    assert Event.from_pdu({**pdu, "content": {"body": "x" * room_left}}, V10).size == 65_536
    with pytest.raises(InvalidEvent):
        Event.from_pdu({**pdu, "content": {"body": "x" * (room_left + 1)}}, V10)
