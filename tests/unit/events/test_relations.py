"""How events relate to one another."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.events.relations import Relation, is_replacement, parse_relation
from homeserver.ids import EventID
from tests.unit.events.loose_events import an_event

REPLY = {"m.in_reply_to": {"event_id": "$r"}}


@pytest.mark.parametrize(
    ("relates_to", "expected"),
    [
        ({"rel_type": "m.thread", "event_id": "$a"}, Relation("m.thread", EventID("$a"))),
        (
            {"rel_type": "m.annotation", "event_id": "$a", "key": "👍"},
            Relation("m.annotation", EventID("$a"), "👍"),
        ),
        (REPLY, Relation(None, None, in_reply_to=EventID("$r"))),
        (
            {"rel_type": "m.thread", "event_id": "$a", "is_falling_back": True, **REPLY},
            Relation("m.thread", EventID("$a"), None, EventID("$r"), True),
        ),
        ({"rel_type": "m.annotation", "event_id": "$a", "key": 3}, Relation("m.annotation", EventID("$a"))),
        ({"rel_type": "m.thread"}, None),
        ({"event_id": "$a"}, None),
        ({"rel_type": 3, "event_id": "$a"}, None),
        ({"rel_type": "m.thread", "event_id": ["$a"]}, None),
        ({"rel_type": "m.thread", "event_id": "a", **REPLY}, Relation(None, None, in_reply_to=EventID("$r"))),
        ({"m.in_reply_to": "$r"}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_relates_to_says(relates_to: Any, expected: Relation | None) -> None:
    assert parse_relation({"m.relates_to": relates_to}) == expected


def test_thread_roots() -> None:
    thread = parse_relation({"m.relates_to": {"rel_type": "m.thread", "event_id": "$a"}})
    edit = parse_relation({"m.relates_to": {"rel_type": "m.replace", "event_id": "$a"}})
    assert thread is not None
    assert thread.thread_root == "$a"
    assert edit is not None
    assert edit.thread_root is None
    assert parse_relation({}) is None


def test_which_edits_count() -> None:
    relates_to = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$event"}}
    edit_content = {**relates_to, "m.new_content": {"body": "new"}}
    original = an_event({"body": "old"})
    assert is_replacement(an_event(edit_content), original)
    assert not is_replacement(an_event(edit_content, sender="@other:hs"), original)
    assert not is_replacement(an_event(edit_content, type="m.sticker"), original)
    assert not is_replacement(an_event(edit_content, room_id="!other:hs"), original)
    assert not is_replacement(an_event(edit_content, state_key=""), original)
    assert not is_replacement(an_event(edit_content), an_event({}, state_key=""))
    assert not is_replacement(an_event(edit_content), an_event(edit_content))
    assert not is_replacement(an_event(relates_to), original)
    encrypted = an_event({}, type="m.room.encrypted")
    assert is_replacement(an_event(relates_to, type="m.room.encrypted"), encrypted)
