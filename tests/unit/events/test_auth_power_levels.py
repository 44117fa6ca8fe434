"""Authorization rule 10, case by case, in every room version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import AuthRejected
from homeserver.events.event import Event
from homeserver.events.power_levels import PowerLevels
from homeserver.events.room_versions import ROOM_VERSIONS, V5, V10, V12, RoomVersion
from tests.harness.auth_cases import Case, in_every_version
from tests.harness.pure_room import ALICE, BOB, CAROL, PureRoom

SCALARS = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")
MAPPINGS = ("events", "notifications")


def first(**content: Any) -> Callable[[PureRoom], Event]:
    """Alice sets the first power levels of the room."""
    return lambda room: room.makes("m.room.power_levels", ALICE, content, state_key="")


def before(**content: Any) -> Callable[[PureRoom], None]:
    """Bob, at 50, may set power levels; Carol is at 50 as well, Dan at 30 and Eve at 70."""

    def setup(room: PureRoom) -> None:
        room.has_member(BOB, "join")
        room.has_power_levels(**{"users": USERS, **content})

    return setup


def after(**content: Any) -> Callable[[PureRoom], Event]:
    """Bob sets these power levels."""
    return lambda room: room.makes("m.room.power_levels", BOB, {"users": USERS, **content}, state_key="")


DAN, EVE, FAY = "@dan:one", "@eve:one", "@fay:one"
USERS = {BOB: 50, CAROL: 50, DAN: 30, EVE: 70}


def users(**changes: Any) -> dict[str, Any]:
    """The users as they were, but for these, by their first names."""
    named = {"bob": BOB, "carol": CAROL, "dan": DAN, "eve": EVE, "fay": FAY}
    changed = {**USERS, **{named[name]: level for name, level in changes.items()}}
    return {user_id: level for user_id, level in changed.items() if level is not None}


NOT_INTEGERS: list[Any] = ["50", None, True, [], {}]
NONSENSE: list[Any] = ["x", None, []]
NOT_MAPPINGS: list[Any] = [5, None, [], "x"]
OLD_MAPPINGS: list[Any] = [5, None, {"m.x": "50"}, {"m.x": "x"}]
NOT_LEVELS: list[Any] = [None, True, [], {}, "x", "5.5", ""]

TYPES = [
    Case("nothing at all", None, first()),
    Case(
        "everything",
        None,
        first(**dict.fromkeys(SCALARS, 5), users={BOB: 5}, events={"m.x": 5}, notifications={"room": 5}),
    ),
    # 10.1
    *(
        Case(f"{name} {value!r}", "10.1", first(**{name: value}), first=10)
        for name in SCALARS
        for value in NOT_INTEGERS
    ),
    *(Case(f"{name} as string", None, first(**{name: " +50 "}), last=9) for name in SCALARS),
    *(Case(f"{name} as float", None, first(**{name: 50.5}), last=5) for name in SCALARS),
    *(
        Case(f"{name} without sense", None, first(**{name: value}), last=9)
        for name in SCALARS
        for value in NONSENSE
    ),
    # 10.2
    *(
        Case(f"{name} {value!r}", "10.2", first(**{name: value}), first=10)
        for name in MAPPINGS
        for value in (*NOT_MAPPINGS, *({"m.x": each} for each in NOT_INTEGERS))
    ),
    *(
        Case(f"{name} {value!r}", None, first(**{name: value}), last=9)
        for name in MAPPINGS
        for value in OLD_MAPPINGS
    ),
    # 10.3
    *(Case(f"users {value!r}", "10.3", first(users=value)) for value in NOT_MAPPINGS),
    *(
        Case(f"user {user_id!r}", "10.3", first(users={user_id: 5}))
        for user_id in ("bob", "@bob", "", "@b\0:c", "#b:c")
    ),
    *(Case(f"a user's {value!r}", "10.3", first(users={BOB: value})) for value in NOT_LEVELS),
    Case("a user's string", "10.3", first(users={BOB: "50"}), first=10),
    Case("a user's string, of old", None, first(users={BOB: " 050"}), last=9),
    Case("a user's float, of old", None, first(users={BOB: 50.57}), last=5),
    Case("odd but historical names", None, first(users={"@Ünïcode name!:one": 5, "@:one": 5})),
    # 10.4
    Case("the creator", "10.4", first(users={ALICE: 100}), first=12),
    Case("another creator", "10.4", first(users={BOB: 100}), first=12, create={"additional_creators": [BOB]}),
    Case(
        "the creator, of old",
        None,
        first(users={ALICE: 100, BOB: 100}),
        last=11,
        create={"additional_creators": [BOB]},
    ),
    # 10.5
    Case("levels above one's own, at first", None, first(users={BOB: 1000}, ban=1000, events={"m.x": 1000})),
]

SCALAR_CHANGES = [
    case
    for name in SCALARS
    for case in (
        Case(f"{name} up to one's own", None, after(**{name: 50}), before(**{name: 10})),
        Case(f"{name} from above", "10.6.1", after(**{name: 10}), before(**{name: 51})),
        Case(f"{name} removed from above", "10.6.1", after(), before(**{name: 51})),
        Case(f"{name} to above", "10.6.2", after(**{name: 51}), before(**{name: 10})),
        Case(f"{name} added above", "10.6.2", after(**{name: 51}), before()),
        Case(f"{name} added below", None, after(**{name: 50}), before()),
        Case(f"{name} removed", None, after(), before(**{name: 50})),
    )
    # Where state takes more than 50, Bob could not set anything.
    if name != "state_default"
] + [
    Case("users_default below zero", None, after(users_default=-5), before()),
    Case("levels that stay above", None, after(ban=99, kick=98), before(ban=99, kick=98)),
    Case("a string, from above", "10.6.1", after(ban="10"), before(ban="51"), last=9),
    Case("a string, to above", "10.6.2", after(ban="51"), before(ban="10"), last=9),
    Case("a float, to above", "10.6.2", after(ban=51.0), before(ban=10), last=5),
    Case("a float that is cut off", None, after(ban=50.9), before(ban=10), last=5),
]

MAPPING_CHANGES = [
    case
    for name in MAPPINGS
    # Until room version 5, notifications were anybody's.
    for since in (1 if name == "events" else 6,)
    for case in (
        Case(f"{name} changed", None, after(**{name: {"m.x": 50}}), before(**{name: {"m.x": 10}})),
        Case(
            f"{name} from above", "10.7.1", after(**{name: {"m.x": 10}}), before(**{name: {"m.x": 51}}), since
        ),
        Case(
            f"{name} removed from above", "10.7.1", after(**{name: {}}), before(**{name: {"m.x": 51}}), since
        ),
        Case(f"{name} all removed from above", "10.7.1", after(), before(**{name: {"m.x": 51}}), since),
        Case(
            f"{name} to above", "10.8.1", after(**{name: {"m.x": 51}}), before(**{name: {"m.x": 10}}), since
        ),
        Case(f"{name} added above", "10.8.1", after(**{name: {"m.x": 51}}), before(), since),
        Case(f"{name} removed", None, after(), before(**{name: {"m.x": 50}})),
        Case(f"{name} kept", None, after(**{name: {"m.x": 99}}), before(**{name: {"m.x": 99}})),
    )
] + [
    Case("notifications were anybody's", None, after(notifications={"room": 99}), before(), last=5),
    Case("notifications were anybody's to remove", None, after(), before(notifications={"room": 99}), last=5),
]

USER_CHANGES = [
    Case("a subordinate", None, after(users=users(dan=50)), before()),
    Case("a subordinate removed", None, after(users=users(dan=None)), before()),
    Case("a peer", "10.9.1", after(users=users(carol=40)), before()),
    Case("a peer removed", "10.9.1", after(users=users(carol=None)), before()),
    Case("a superior", "10.9.1", after(users=users(eve=40)), before()),
    Case("all removed", "10.9.1", after(users={BOB: 50}), before()),
    Case("oneself", None, after(users=users(bob=10)), before()),
    Case("oneself removed", None, after(users=users(bob=None)), before()),
    Case("oneself to above", "10.10.1", after(users=users(bob=51)), before()),
    Case("a subordinate to above", "10.10.1", after(users=users(dan=51)), before()),
    Case("a stranger to above", "10.10.1", after(users=users(fay=51)), before()),
    Case("a stranger to one's own", None, after(users=users(fay=50)), before()),
    Case("a stranger below zero", None, after(users=users(fay=-1)), before()),
    Case("a peer's string for a number", "10.9.1", after(users=users(carol="50")), before(), last=9),
    Case("a subordinate's string", None, after(users=users(dan="50")), before(), last=9),
]


@in_every_version(TYPES + SCALAR_CHANGES + MAPPING_CHANGES + USER_CHANGES)
def test_power_levels(case: Case, version: RoomVersion) -> None:
    case.run(version)


def test_state_default_by_one_who_may_always_set_power_levels() -> None:
    for old, new, rule in ((51, 10, "10.6.1"), (10, 51, "10.6.2"), (10, 50, None)):
        events = {"m.room.power_levels": 0}
        case = Case(
            "", rule, after(state_default=new, events=events), before(state_default=old, events=events)
        )
        case.run(V10)


def test_floats_beyond_all_bounds_are_refused() -> None:
    room = PureRoom(V5)
    for content in (
        {"ban": float("inf")},
        {"events": {"m.x": float("-inf")}},
        {"users": {BOB: float("inf")}},
    ):
        event = room.makes("m.room.power_levels", ALICE, {}, state_key="")
        event.content.update(content)
        with pytest.raises(AuthRejected):
            room.check(event)


def test_a_creator_may_grant_any_power() -> None:
    room = PureRoom(V12)
    room.has_power_levels(users={BOB: 2**53 - 1})
    room.check(first(users={CAROL: 2**53 - 1}, ban=2**53 - 1)(room))


small = st.integers(-1, 3)
scalars = st.fixed_dictionaries({}, optional=dict.fromkeys(SCALARS, small))
some_users = st.dictionaries(st.sampled_from([BOB, CAROL, DAN]), small)


@given(st.sampled_from(list(ROOM_VERSIONS.values())), scalars, scalars, some_users, some_users)
def test_nobody_gains_power_by_setting_power_levels(
    version: RoomVersion,
    old: dict[str, Any],
    new: dict[str, Any],
    old_users: dict[str, Any],
    new_users: dict[str, Any],
) -> None:
    room = PureRoom(version)
    room.has_member(BOB, "join")
    room.has_power_levels(users=old_users, **{**old, "state_default": -9})
    mine = PowerLevels.of_state(room.state, room.create).user(BOB)
    event = room.makes("m.room.power_levels", BOB, {"users": new_users, **new}, state_key="")
    try:
        room.check(event)
    except AuthRejected:
        return
    room.accept(event)
    levels = PowerLevels.of_state(room.state, room.create)
    assert all(levels.user(user_id) <= max(mine, old_users.get(user_id, -9)) for user_id in new_users)
    assert all(new_users.get(user_id) == level for user_id, level in old_users.items() if level > mine)
