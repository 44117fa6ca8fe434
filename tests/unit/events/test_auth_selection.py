"""Which state authorises which event."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.events.auth_selection import auth_keys
from homeserver.events.room_versions import V1, V7, V8, V11, V12, RoomVersion
from tests.harness.pure_room import ALICE, BOB, CAROL

CREATE, POWER, RULES = ("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.join_rules", "")


def member(user_id: str) -> tuple[str, str]:
    return ("m.room.member", user_id)


def keys(
    membership: Any, version: RoomVersion = V11, *, sender: str = ALICE, target: str = BOB, **content: Any
) -> Any:
    return auth_keys("m.room.member", sender, target, {"membership": membership, **content}, version)


def test_create_needs_nothing() -> None:
    assert auth_keys("m.room.create", ALICE, "", {}, V11) == []


def test_the_create_event_is_implied_as_of_version_12() -> None:
    assert auth_keys("m.room.message", ALICE, None, {}, V11) == [CREATE, POWER, member(ALICE)]
    assert auth_keys("m.room.message", ALICE, None, {}, V12) == [POWER, member(ALICE)]


@pytest.mark.parametrize(("membership", "with_rules"), [("join", True), ("invite", True), ("knock", True)])
def test_join_rules_matter_to_who_comes(membership: str, with_rules: bool) -> None:
    assert keys(membership) == [CREATE, POWER, member(ALICE), member(BOB), *([RULES] if with_rules else [])]


@pytest.mark.parametrize("membership", ["leave", "ban", "x", None, 5, ["join"], {}])
def test_join_rules_do_not_matter_to_who_goes(membership: Any) -> None:
    assert keys(membership) == [CREATE, POWER, member(ALICE), member(BOB)]


def test_nobody_is_named_twice() -> None:
    assert keys("join", target=ALICE, join_authorised_via_users_server=ALICE).count(member(ALICE)) == 1


def test_a_membership_of_nobody() -> None:
    assert auth_keys("m.room.member", ALICE, None, {"membership": "join"}, V11) == [
        CREATE,
        POWER,
        member(ALICE),
    ]


def test_the_third_party_invite() -> None:
    signed: dict[str, Any] = {"third_party_invite": {"signed": {"token": "t"}}}
    assert keys("invite", **signed)[-1] == ("m.room.third_party_invite", "t")
    assert keys("join", **signed)[-1] == RULES
    values: list[Any] = [5, {}, {"signed": 5}, {"signed": {}}, {"signed": {"token": 5}}]
    for malformed in values:
        assert keys("invite", third_party_invite=malformed)[-1] == RULES


@pytest.mark.parametrize(("version", "asked"), [(V1, False), (V7, False), (V8, True), (V12, True)])
def test_the_authorising_user(version: RoomVersion, asked: bool) -> None:
    assert (member(CAROL) in keys("join", version, join_authorised_via_users_server=CAROL)) is asked
    assert member(CAROL) not in keys("invite", version, join_authorised_via_users_server=CAROL)
    assert len(keys("join", version, join_authorised_via_users_server=5)) == len(keys("join", version))
