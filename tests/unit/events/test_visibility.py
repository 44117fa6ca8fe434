"""History visibility: the table of the specification, for users and for servers."""

from __future__ import annotations

import pytest

from homeserver.events.event import Event
from homeserver.events.visibility import HISTORY_VISIBILITY, may_see, server_may_see
from homeserver.ids import StateKey
from tests.unit.events.loose_events import an_event, member, visibility

ME = "@me:hs"
MY_MEMBERSHIP: StateKey = ("m.room.member", ME)


def state(history: object, membership: str | None) -> dict[StateKey, Event]:
    found: dict[StateKey, Event] = {}
    if history is not None:
        found[HISTORY_VISIBILITY] = visibility(history)
    if membership is not None:
        found[MY_MEMBERSHIP] = member(ME, membership)
    return found


MESSAGE = an_event({"body": "hello"})

TABLE = [
    # (visibility, membership at the event, joined later, may see)
    *(
        ("world_readable", membership, later, True)
        for membership in (None, "leave", "ban")
        for later in (True, False)
    ),
    *((value, "join", False, True) for value in ("world_readable", "shared", "invited", "joined", None)),
    *(
        (value, membership, True, True)
        for value in ("shared", None, "nonsense", 3)
        for membership in (None, "ban")
    ),
    *(
        (value, membership, False, False)
        for value in ("shared", None)
        for membership in (None, "leave", "invite")
    ),
    ("invited", "invite", False, True),
    ("invited", "invite", True, True),
    ("invited", None, True, False),
    ("invited", "knock", True, False),
    ("joined", "invite", True, False),
    ("joined", "leave", True, False),
]


@pytest.mark.parametrize(("history", "membership", "later", "expected"), TABLE)
def test_who_may_see_a_message(history: object, membership: str | None, later: bool, expected: bool) -> None:
    before = state(history, membership)
    assert may_see(MESSAGE, before, user_id=ME, joined_later=later) is expected
    memberships = [] if membership is None else [membership, "leave"]
    assert server_may_see(MESSAGE, before, memberships, domain="hs", joined_later=later) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("world_readable", "joined", True), ("joined", "world_readable", True), ("joined", "invited", False)],
)
def test_a_change_of_visibility_is_seen_from_either_side(before: str, after: str, expected: bool) -> None:
    change = visibility(after)
    assert may_see(change, state(before, None), user_id=ME, joined_later=False) is expected
    assert server_may_see(change, state(before, None), [], domain="hs", joined_later=False) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(None, "join", True), ("join", "leave", True), ("join", "ban", True), ("leave", "ban", False)],
)
def test_ones_own_membership_is_seen_from_either_side(before: str | None, after: str, expected: bool) -> None:
    change = member(ME, after)
    assert may_see(change, state("joined", before), user_id=ME, joined_later=False) is expected
    memberships = [] if before is None else [before]
    assert (
        server_may_see(change, state("joined", before), memberships, domain="hs", joined_later=False)
        is expected
    )


def test_anothers_membership_is_like_any_event() -> None:
    change = member("@other:elsewhere", "join")
    assert not may_see(change, state("joined", None), user_id=ME, joined_later=True)
    assert not server_may_see(change, state("joined", None), [], domain="hs", joined_later=True)
