"""Every authorization rule but 5 and 10, which have tables of their own, in every room version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.errors import AuthRejected
from homeserver.events.auth_rules import check_auth_events, check_event_auth
from homeserver.events.event import Event
from homeserver.events.power_levels import PowerLevels
from homeserver.events.redaction import redact_event
from homeserver.events.room_versions import ROOM_VERSIONS, V10, V11, V12, RoomVersion
from homeserver.ids import EventID
from tests.harness.auth_cases import Case, in_every_version
from tests.harness.pure_room import ALICE, BOB, CAROL, PureRoom

ALL_VERSIONS = list(ROOM_VERSIONS.values())


def create(content: dict[str, Any] | None = None, **changes: Any) -> Callable[[PureRoom], Event]:
    def make(room: PureRoom) -> Event:
        room_id = None if room.version.room_id_is_create_event_id else room.room_id
        fields = {"prev_events": [], "room_id": room_id, **changes}
        return room.makes(
            "m.room.create", ALICE, {"creator": ALICE, **(content or {})}, state_key="", **fields
        )

    return make


def create_without_creator(room: PureRoom) -> Event:
    return room.makes("m.room.create", ALICE, {}, state_key="", prev_events=[])


CREATE = [
    Case("a new room", None, create()),
    Case("something before it", "1.1", create(prev_events=["$before"])),
    Case("a room of another server", "1.2", create(room_id="!room:two"), last=11),
    Case("a room ID", "1.2", create(room_id="!room:one"), first=12),
    Case("an unknown version", "1.3", create({"room_version": "99"})),
    Case("a version that is no string", "1.3", create({"room_version": {}})),
    Case("a known version", None, create({"room_version": "1"})),
    Case("creators that are no list", "1.4", create({"additional_creators": BOB}), first=12),
    Case("creators that are no users", "1.4", create({"additional_creators": [BOB, "bob"]}), first=12),
    Case("creators that are numbers", "1.4", create({"additional_creators": [5]}), first=12),
    Case("further creators", None, create({"additional_creators": [BOB, CAROL]})),
    Case("unread additional creators", None, create({"additional_creators": 5}), last=11),
    Case("no creator", "v1:1.4", create_without_creator, last=10),
    Case("no creator but the sender", None, create_without_creator, first=11, last=11),
]


def message(sender: str) -> Callable[[PureRoom], Event]:
    return lambda room: room.makes("m.room.message", sender, {"body": "x"})


def state(sender: str, event_type: str = "m.room.topic", state_key: str = "") -> Callable[[PureRoom], Event]:
    return lambda room: room.makes(event_type, sender, {}, state_key=state_key)


def bob_is_in(room: PureRoom) -> None:
    room.has_member(BOB, "join")


def bob_has(power: int, **levels: Any) -> Callable[[PureRoom], None]:
    def setup(room: PureRoom) -> None:
        bob_is_in(room)
        users = {BOB: power} if room.version.creators_are_almighty else {BOB: power, ALICE: 100}
        room.has_power_levels(users=users, **levels)

    return setup


OTHER = [
    # 4
    Case("another server in a closed room", "4", message(BOB), bob_is_in, create={"m.federate": False}),
    Case("the own server in a closed room", None, message(ALICE), create={"m.federate": False}),
    Case(
        "a join into a closed room",
        "4",
        lambda room: room.makes_member(BOB, "join"),
        create={"m.federate": False},
    ),
    Case("m.federate that is not false", None, message(BOB), bob_is_in, create={"m.federate": 0}),
    # v1:4
    Case("aliases without state key", "v1:4.1", lambda room: room.makes("m.room.aliases", ALICE), last=5),
    Case("aliases of another server", "v1:4.2", state(ALICE, "m.room.aliases", "two"), last=5),
    Case("aliases of one's own server", None, state(BOB, "m.room.aliases", "two"), last=5),
    Case("aliases are state like any other", "6", state(BOB, "m.room.aliases", "two"), first=6),
    Case("aliases take power", "8", state(BOB, "m.room.aliases", "two"), bob_is_in, first=6),
    # 6
    Case("a message from outside", "6", message(BOB)),
    Case("a message from the invited", "6", message(BOB), lambda room: room.has_member(BOB, "invite")),
    Case("a message from one who left", "6", message(BOB), lambda room: room.has_member(BOB, "leave")),
    Case("a message from a member", None, message(BOB), bob_is_in),
    # 7
    Case(
        "a third party invite without power",
        "7.1",
        state(BOB, "m.room.third_party_invite", "t"),
        bob_has(0, invite=1),
    ),
    Case(
        "a third party invite with power",
        None,
        state(BOB, "m.room.third_party_invite", "t"),
        bob_has(1, invite=1),
    ),
    Case(
        "a third party invite takes no more",
        None,
        state(BOB, "m.room.third_party_invite", "@x:y"),
        bob_has(0),
    ),
    # 8
    Case("a message above one's power", "8", message(BOB), bob_has(9, events_default=10)),
    Case("a message at one's power", None, message(BOB), bob_has(10, events_default=10)),
    Case("state above one's power", "8", state(BOB), bob_has(49)),
    Case("state at one's power", None, state(BOB), bob_has(50)),
    Case("a type above one's power", "8", message(BOB), bob_has(9, events={"m.room.message": 10})),
    Case("a type below the default", None, state(BOB), bob_has(0, events={"m.room.topic": 0})),
    Case("state before there are power levels", "8", state(BOB), bob_is_in),
    Case("the creator's state before there are power levels", None, state(ALICE)),
    # 9
    Case("state in another's name", "9", state(ALICE, "m.x", BOB)),
    Case("state in one's own name", None, state(ALICE, "m.x", ALICE)),
    Case("state under an underscore", None, state(ALICE, "m.x", "_" + BOB)),
]


def redaction(sender: str, **changes: Any) -> Callable[[PureRoom], Event]:
    return lambda room: room.makes("m.room.redaction", sender, redacts="$target:one", **changes)


REDACTIONS = [
    Case("a redaction with power", None, redaction(ALICE, server_name="elsewhere")),
    Case("a redaction of the own server's event", None, redaction(BOB, server_name="one"), bob_is_in, last=2),
    Case("a redaction of another server's event", "v1:11.3", redaction(BOB), bob_is_in, last=2),
    Case(
        "a redaction of nothing",
        "v1:11.3",
        lambda room: room.makes("m.room.redaction", BOB),
        bob_is_in,
        last=2,
    ),
    Case("whoever applies redactions decides", None, redaction(BOB), bob_is_in, first=3),
    Case("redactions are events of a type", "8", redaction(BOB), bob_has(9, events={"m.room.redaction": 10})),
]


@in_every_version(CREATE + OTHER + REDACTIONS)
def test_rules(case: Case, version: RoomVersion) -> None:
    case.run(version)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_a_room_has_a_create_event(version: RoomVersion) -> None:
    room = PureRoom(version)
    with pytest.raises(AuthRejected) as refusal:
        check_event_auth(room.makes("m.x", ALICE), {})
    assert refusal.value.rule == "2"


def test_the_room_id_is_that_of_the_create_event() -> None:
    room, other = PureRoom(V12), PureRoom(V12, create={"x": 1})
    with pytest.raises(AuthRejected) as refusal:
        other.check(room.makes("m.x", ALICE))
    assert refusal.value.rule == "2"
    PureRoom(V11).check(PureRoom(V11, create={"x": 1}).makes("m.x", ALICE))


def test_power_levels_may_be_brought_along() -> None:
    room = PureRoom(V10)
    bob_is_in(room)
    levels = PowerLevels.of_state(room.state, room.create)
    check_event_auth(room.makes("m.x", BOB), room.state, power_levels=levels)
    with pytest.raises(AuthRejected):
        check_event_auth(room.makes("m.x", BOB, state_key=""), room.state, power_levels=levels)


class TestAuthEvents:
    """Rules 2 and 3, which look at the event's own `auth_events`."""

    def refusal(
        self, event: Event, auth_events: list[Event], rejected: set[EventID] | None = None
    ) -> str | None:
        try:
            check_auth_events(event, auth_events, frozenset(rejected or ()))
        except AuthRejected as error:
            return error.rule
        return None

    def selected(self, room: PureRoom, event: Event) -> list[Event]:
        by_id = {each.event_id: each for each in room.events}
        return [by_id[event_id] for event_id in event.auth_events]

    @pytest.fixture(params=ALL_VERSIONS, ids=repr)
    def room(self, request: pytest.FixtureRequest) -> PureRoom:
        room = PureRoom(request.param)
        room.has_power_levels(users={} if room.version is V12 else {ALICE: 100})
        room.has_join_rule("public")
        return room

    def test_what_selection_selects_is_right(self, room: PureRoom) -> None:
        for event in (
            room.makes("m.room.message", ALICE),
            room.makes_member(BOB, "join"),
            room.makes_member(ALICE, "invite", target=BOB),
        ):
            assert self.refusal(event, self.selected(room, event)) is None

    def test_a_create_event_needs_none(self, room: PureRoom) -> None:
        assert self.refusal(room.create, []) is None

    def test_the_create_event_is_accepted(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        rejected = {room.create.event_id}
        expected = "2" if room.version is V12 else "3.3"
        assert self.refusal(event, self.selected(room, event), rejected) == expected

    def test_no_key_twice(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        twice = room.makes_member(ALICE, "join", displayname="Alice")
        assert self.refusal(event, [*self.selected(room, event), twice]) == "3.1"

    def test_nothing_unasked(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        for extra in (
            room.state["m.room.join_rules", ""],
            room.makes("m.x", ALICE),
            room.makes_member(BOB, "join"),
        ):
            assert self.refusal(event, [*self.selected(room, event), extra]) == "3.2"

    def test_the_create_event_is_asked_for_only_until_version_11(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        others = [each for each in self.selected(room, event) if each.type != "m.room.create"]
        if room.version is V12:
            assert self.refusal(event, [*others, room.create]) == "3.2"
        else:
            assert self.refusal(event, others) == "v1:2.4"

    def test_nothing_rejected(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        rejected = {room.state["m.room.power_levels", ""].event_id}
        assert self.refusal(event, self.selected(room, event), rejected) == "3.3"

    def test_nothing_of_another_room(self, room: PureRoom) -> None:
        event = room.makes("m.x", ALICE)
        content = {"membership": "join"}
        foreign = room.makes("m.room.member", ALICE, content, state_key=ALICE, room_id="!other:one")
        selected = [foreign if each.type == "m.room.member" else each for each in self.selected(room, event)]
        assert self.refusal(event, selected) == "3.5"


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=repr)
def test_redacted_state_authorises_as_before(version: RoomVersion) -> None:
    room = PureRoom(version)
    room.has_power_levels(users={BOB: 50} if version is V12 else {BOB: 50, ALICE: 100})
    room.has_member(BOB, "join")
    for key, event in list(room.state.items()):
        room.state[key] = redact_event(event)
    room.check(room.makes("m.room.topic", BOB, {}, state_key=""))
    with pytest.raises(AuthRejected):
        room.check(room.makes("m.room.topic", CAROL, {}, state_key=""))
