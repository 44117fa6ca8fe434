"""Our own events are what the specification makes step by step, only in fewer steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidEvent
from homeserver.events.builder import build_event
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, V1, V5, V6, V10, V11, V12, RoomVersion
from homeserver.events.signatures import event_id_of, sign_event
from homeserver.ids import EventID
from tests.harness.pure_room import ALICE, KEY, PureRoom

ALL_VERSIONS = list(ROOM_VERSIONS.values())
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
contents = st.dictionaries(
    texts | st.sampled_from(["membership", "users", "third_party_invite", "redacts", "creator"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    ),
    max_size=4,
)
types = st.sampled_from(["m.room.message", "m.room.member", "m.room.power_levels", "m.room.redaction"])


@given(st.sampled_from(ALL_VERSIONS), types, contents, st.none() | texts)
def test_it_is_what_the_slow_way_makes(
    version: RoomVersion, event_type: str, content: dict[str, Any], state_key: str | None
) -> None:
    built = PureRoom(version).makes(event_type, ALICE, content, state_key=state_key)
    pdu = {name: value for name, value in built.pdu.items() if name not in ("hashes", "signatures")}
    sign_event(pdu, version, built.domain, KEY)
    assert pdu == built.pdu
    assert encode_canonical(pdu, strict=version.strict_canonical_json) == built.json
    assert event_id_of(pdu, version) == built.event_id
    assert Event.from_pdu(pdu, version).json == built.json


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_numbers_are_judged_by_the_version(version: RoomVersion) -> None:
    room = PureRoom(version)
    for value in (0.5, 2**53, 1e300):
        if version.strict_canonical_json:
            with pytest.raises(InvalidEvent):
                room.makes("m.room.message", ALICE, {"n": value})
        else:
            event = room.makes("m.room.message", ALICE, {"n": value})
            assert Event.from_pdu(event.pdu, version).event_id == event.event_id


@pytest.mark.parametrize(
    "changes", [{"event_type": "x" * 256}, {"state_key": "é" * 128}, {"event_type": "\ud800"}]
)
def test_fields_that_are_too_long_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        PureRoom(V10).makes(**{"event_type": "m.x", "sender": ALICE, "state_key": "", **changes})


def test_depth_stays_at_its_limit() -> None:
    assert PureRoom(V5).makes("m.x", ALICE, depth=2**63).depth == 2**63 - 1
    assert PureRoom(V6).makes("m.x", ALICE, depth=2**63).depth == 2**53 - 1


def test_event_ids_of_old_are_distinct_and_of_the_server() -> None:
    room = PureRoom(V1)
    first, second = room.makes("m.x", ALICE), room.makes("m.x", ALICE, {"n": 1})
    assert first.event_id != second.event_id
    assert first.event_id.startswith("$")
    assert first.event_id.endswith(":one")


def test_references_of_old_carry_hashes_as_far_as_they_are_known() -> None:
    hashes = {EventID("$a:one"): "aGFzaA"}
    event = PureRoom(V1).makes("m.x", ALICE, prev_events=["$a:one", "$b:one"], reference_hashes=hashes)
    assert event.pdu["prev_events"] == [["$a:one", {"sha256": "aGFzaA"}], ["$b:one", {}]]
    assert event.prev_events == ("$a:one", "$b:one")


def test_redacts_does_not_change_the_callers_content() -> None:
    content = {"reason": "x"}
    assert PureRoom(V11).makes("m.room.redaction", ALICE, content, redacts="$a").redacts == "$a"
    assert content == {"reason": "x"}


def test_a_create_event_names_its_room() -> None:
    event = build_event(
        V12,
        type="m.room.create",
        state_key="",
        sender=ALICE,
        room_id=None,
        content={"room_version": "12"},
        prev_events=[],
        auth_events=[],
        depth=1,
        origin_server_ts=0,
        server_name=PureRoom(V12).create.domain,
        key=KEY,
    )
    assert event.room_id[1:] == event.event_id[1:]
    assert Event.from_pdu(event.pdu, V12).room_id == event.room_id
