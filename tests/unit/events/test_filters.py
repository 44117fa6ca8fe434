"""Filters: what passes, and what is no filter."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.errors import BadJson
from homeserver.events.filters import MAX_LIMIT, check_filter, parse_filter, parse_room_event_filter
from tests.unit.events.loose_events import an_event


def passes(definition: dict[str, Any], **event: Any) -> bool:
    content = event.pop("content", {"body": "hello"})
    return parse_room_event_filter(definition).matches(an_event(content, **event))


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({}, True),
        ({"limit": 3}, True),
        ({"types": []}, False),
        ({"types": ["m.room.message"]}, True),
        ({"types": ["m.room.*"]}, True),
        ({"types": ["*"]}, True),
        ({"types": ["*.message"]}, True),
        ({"types": ["m.*.message"]}, True),
        ({"types": ["m.room.messag?"]}, False),
        ({"types": ["M.room.*"]}, False),
        ({"types": ["m.room"]}, False),
        ({"not_types": ["m.room.*"]}, False),
        ({"not_types": []}, True),
        ({"types": ["*"], "not_types": ["m.room.message"]}, False),
        ({"senders": ["@sender:hs"]}, True),
        ({"senders": []}, False),
        ({"senders": ["@sender:hs"], "not_senders": ["@sender:hs"]}, False),
        ({"not_senders": ["@other:hs"]}, True),
        ({"rooms": ["!room:hs"]}, True),
        ({"rooms": ["!other:hs"]}, False),
        ({"rooms": []}, False),
        ({"rooms": ["!room:hs"], "not_rooms": ["!room:hs"]}, False),
        ({"contains_url": True}, False),
        ({"contains_url": False}, True),
        ({"unknown": {"x": 1}}, True),
    ],
)
def test_what_passes(definition: dict[str, Any], expected: bool) -> None:
    assert passes(definition) is expected


def test_urls_and_relations() -> None:
    assert passes({"contains_url": True}, content={"url": "mxc://hs/x"})
    assert not passes({"contains_url": False}, content={"url": "mxc://hs/x"})
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$a"}}
    assert passes({"org.matrix.msc3874.rel_types": ["m.thread"]}, content=thread)
    assert not passes({"org.matrix.msc3874.rel_types": ["m.thread"]})
    assert not passes({"org.matrix.msc3874.not_rel_types": ["m.thread"]}, content=thread)
    assert passes({"org.matrix.msc3874.not_rel_types": ["m.thread"]})


def test_the_default_filter_says_so() -> None:
    everything = parse_filter({})
    assert everything.key == ""
    assert everything.room.is_default
    assert everything.room.timeline.is_default
    assert everything.room.timeline.limit == 10
    assert not everything.room.timeline.has_limit
    assert everything.prune({"type": "x", "content": {}}) == {"type": "x", "content": {}}
    others: list[dict[str, Any]] = [
        {"room": {"timeline": {"types": ["x"]}}},
        {"event_fields": []},
        {"presence": {"types": []}},
    ]
    for definition in others:
        parsed = parse_filter(definition)
        assert parsed.key
        assert parsed.key == parse_filter({**definition, "ignored": 1}).key


def test_what_a_sync_filter_says() -> None:
    parsed = parse_filter(
        {
            "event_format": "federation",
            "presence": {"types": []},
            "account_data": {"not_types": ["m.push_rules"]},
            "room": {
                "rooms": ["!a:hs"],
                "include_leave": True,
                "state": {"lazy_load_members": True, "include_redundant_members": True},
                "timeline": {"limit": 10**9, "unread_thread_notifications": True},
                "ephemeral": {"types": ["m.typing"]},
            },
        }
    )
    assert parsed.is_federation_format
    assert not parsed.presence.includes_type("m.presence")
    assert parsed.account_data.includes_type("m.direct")
    assert not parsed.account_data.includes_type("m.push_rules")
    room = parsed.room
    assert (room.include_leave, room.lazy_members, room.redundant_members) == (True, True, True)
    assert room.includes_room("!a:hs")
    assert not room.includes_room("!b:hs")
    assert room.timeline.limit == MAX_LIMIT
    assert room.timeline.has_limit
    assert room.timeline.unread_thread_notifications
    assert room.ephemeral.includes_type("m.typing")
    assert not room.ephemeral.includes_type("m.receipt")


def test_event_fields() -> None:
    event = {"type": "t", "content": {"a": 1, "b": {"c": 2, "d": 3}, "m.x": 4}, "sender": "@s:hs"}
    fields: dict[tuple[str, ...], Any] = {
        (): {},
        ("type", "content.a"): {"type": "t", "content": {"a": 1}},
        ("content.b.c", "content.b.d"): {"content": {"b": {"c": 2, "d": 3}}},
        (r"content.m\.x", "absent", "type.x"): {"content": {"m.x": 4}},
        ("content", "content.a"): {"content": event["content"]},
        ("content.a", "content"): {"content": event["content"]},
    }
    for wanted, expected in fields.items():
        assert parse_filter({"event_fields": list(wanted)}).prune(event) == expected


@pytest.mark.parametrize(
    "definition",
    [
        [],
        None,
        "filter",
        {"presence": "not an object"},
        {"room": []},
        {"room": {"timeline": "x"}},
        {"room": {"rooms": "!room:hs"}},
        {"room": {"rooms": ["not a room"]}},
        {"room": {"state": {"not_rooms": ["@user:hs"]}}},
        {"room": {"timeline": {"senders": ["not a sender"]}}},
        {"room": {"timeline": {"not_senders": [3]}}},
        {"room": {"timeline": {"types": [1]}}},
        {"room": {"timeline": {"limit": "10"}}},
        {"room": {"timeline": {"limit": 1.5}}},
        {"room": {"timeline": {"limit": True}}},
        {"room": {"timeline": {"limit": -1}}},
        {"room": {"timeline": {"contains_url": "yes"}}},
        {"room": {"state": {"lazy_load_members": 1}}},
        {"room": {"include_leave": "true"}},
        {"event_format": "xml"},
        {"event_fields": "content"},
        {"event_fields": [1]},
    ],
)
def test_what_is_no_filter(definition: object) -> None:
    with pytest.raises(BadJson):
        check_filter(definition)
