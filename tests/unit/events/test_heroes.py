"""Heroes."""

from __future__ import annotations

from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.ids import StateKey
from tests.unit.events.loose_events import an_event, member


def room(*members: tuple[str, str]) -> dict[StateKey, Event]:
    """Those who came first are listed first; the state map has another order."""
    events = [member(user, membership, depth=depth) for depth, (user, membership) in enumerate(members)]
    return {("m.room.member", event.state_key or ""): event for event in reversed(events)}


def test_the_first_five_who_are_there_are_heroes() -> None:
    state = room(*((f"@{name}:hs", "join") for name in "abcdefg"))
    assert heroes(state, "@b:hs") == ["@a:hs", "@c:hs", "@d:hs", "@e:hs", "@f:hs"]


def test_the_invited_count_and_those_who_left_do_not() -> None:
    state = room(
        ("@a:hs", "leave"), ("@b:hs", "invite"), ("@c:hs", "ban"), ("@d:hs", "knock"), ("@me:hs", "join")
    )
    assert heroes(state, "@me:hs") == ["@b:hs"]


def test_those_who_left_are_heroes_when_nobody_else_is_there() -> None:
    state = room(("@a:hs", "leave"), ("@b:hs", "ban"), ("@me:hs", "join"))
    assert heroes(state, "@me:hs") == ["@a:hs", "@b:hs"]


def test_a_room_with_a_name_needs_none() -> None:
    state = room(("@a:hs", "join"))
    for event in (
        an_event({"name": "A name"}, type="m.room.name", state_key=""),
        an_event({"alias": "#a:hs"}, type="m.room.canonical_alias", state_key=""),
    ):
        assert heroes({**state, (event.type, ""): event}, "@me:hs") == []
    unnamed = an_event({"name": ""}, type="m.room.name", state_key="")
    assert heroes({**state, ("m.room.name", ""): unnamed}, "@me:hs") == ["@a:hs"]
