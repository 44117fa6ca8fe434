"""Push rules: the defaults of the specification, every condition, and one evaluation for many users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.power_levels import PowerLevels
from homeserver.events.push_rule_defaults import DEFAULT_RULES, KINDS, default_rules
from homeserver.events.push_rules import DEFAULTS, Actions, CompiledRules, EventView, compile_rules
from homeserver.events.room_versions import V11
from homeserver.ids import EventID, UserID
from tests.unit.events.loose_events import an_event

ALICE, BOB = UserID("@alice:hs"), UserID("@bob:hs")
SILENT = Actions()


def view(
    content: dict[str, Any],
    type: str = "m.room.message",
    *,
    members: int = 5,
    levels: dict[str, Any] | None = None,
    thread: str | None = None,
    **event: Any,
) -> EventView:
    return EventView(
        an_event(content, type=type, **event),
        member_count=members,
        power_levels=PowerLevels(levels or {}, frozenset(), V11),
        thread_root=None if thread is None else EventID(thread),
    )


def text(body: str, **content: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": body, **content}


def mention(*users: object, **mentions: Any) -> dict[str, Any]:
    return text("hello", **{"m.mentions": {"user_ids": list(users), **mentions}})


EDIT = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$before"}, "m.new_content": {}}
NOISY = {"sound": "default"}
LOUD = {"sound": "default", "highlight": True}

DEFAULT_OUTCOMES: list[tuple[str, EventView, Mapping[str, Any] | None]] = [
    ("a message", view(text("hello")), {}),
    ("a message to one", view(text("hello"), members=2), NOISY),
    ("a notice", view({"msgtype": "m.notice", "body": "@alice:hs"}), None),
    ("an edit", view(text("hello", **EDIT)), None),
    ("an edit that mentions", view({**mention(ALICE), **EDIT}), LOUD),
    ("an encrypted event", view({}, "m.room.encrypted"), {}),
    ("an encrypted event to one", view({}, "m.room.encrypted", members=2), NOISY),
    ("a mention", view(mention(BOB, ALICE)), LOUD),
    ("a mention of others", view(mention(BOB)), {}),
    ("a mention of nonsense", view(mention(3, None, [ALICE])), {}),
    ("mentions of the wrong shape", view(text("hello", **{"m.mentions": [ALICE]})), {}),
    ("a name in the body alone", view(text("alice @alice:hs @room")), {}),
    ("@room without the power", view(mention(room=True)), {}),
    (
        "@room with the power",
        view(mention(room=True), levels={"users": {"@sender:hs": 50}}),
        {"highlight": True},
    ),
    ("@room cheap", view(mention(room=True), levels={"notifications": {"room": 0}}), {"highlight": True}),
    ("@room by another name", view(mention(room="true"), levels={"notifications": {"room": 0}}), {}),
    ("my invite", view({"membership": "invite"}, "m.room.member", state_key=ALICE), NOISY),
    ("another's invite", view({"membership": "invite"}, "m.room.member", state_key=BOB), None),
    ("a join", view({"membership": "join"}, "m.room.member", state_key=BOB), None),
    ("a tombstone", view({}, "m.room.tombstone", state_key=""), {"highlight": True}),
    ("no tombstone", view({}, "m.room.tombstone"), None),
    ("a reaction", view({}, "m.reaction"), None),
    ("an ACL", view({}, "m.room.server_acl", state_key=""), None),
    ("a call", view({}, "m.call.invite"), {"sound": "ring"}),
    ("a poll", view({}, "org.matrix.msc3381.poll.start"), {}),
    ("a poll for one", view({}, "m.poll.start", members=2), NOISY),
    ("an answer to a poll", view({}, "m.poll.response"), None),
    ("a topic", view({"topic": "x"}, "m.room.topic", state_key=""), None),
    ("something unknown", view({}, "org.example.thing"), None),
]


@pytest.mark.parametrize(
    ("name", "event", "expected"), DEFAULT_OUTCOMES, ids=[row[0] for row in DEFAULT_OUTCOMES]
)
def test_the_default_rules(name: str, event: EventView, expected: Mapping[str, Any] | None) -> None:
    found = DEFAULTS.evaluate(event, user_id=ALICE)
    assert (found.notify, found.highlight, found.sound) == (
        expected is not None,
        bool(expected and expected.get("highlight")),
        expected.get("sound") if expected else None,
    )


def test_nobody_is_notified_of_their_own_events() -> None:
    assert DEFAULTS.evaluate(view(mention(ALICE), sender=ALICE), user_id=ALICE) == SILENT


def test_the_default_rules_are_those_of_the_specification_in_its_order() -> None:
    names = [rule["rule_id"] for kind in KINDS for rule in DEFAULT_RULES[kind]]
    stable = [name for name in names if name.startswith(".m.rule.") and "poll" not in name]
    assert stable == [
        f".m.rule.{name}"
        for name in (
            *(
                "master",
                "suppress_notices",
                "invite_for_me",
                "member_event",
                "is_user_mention",
                "is_room_mention",
            ),
            *("tombstone", "reaction", "room.server_acl", "suppress_edits"),
            *("call", "encrypted_room_one_to_one", "room_one_to_one", "message", "encrypted"),
        )
    ]
    assert len(set(names)) == len(names)
    assert all(rule["default"] for rule in default_rules(ALICE)["underride"])


def test_users_with_the_same_rules_share_them() -> None:
    def merged(user_id: str) -> dict[str, list[dict[str, Any]]]:
        return {kind: rules for kind, rules in default_rules(user_id).items() if kind != "postcontent"}

    assert compile_rules(merged(ALICE)) is compile_rules(merged(BOB)) is DEFAULTS
    muted = merged(ALICE)
    muted["room"] = [{"rule_id": "!muted:hs", "actions": [], "enabled": True, "default": False}]
    by_condition = merged(BOB)
    by_condition["override"].insert(
        1, own([{"kind": "event_match", "key": "room_id", "pattern": "!muted:hs"}], actions=[])
    )
    for rules in (muted, by_condition):
        assert compile_rules(rules) is not DEFAULTS
        assert compile_rules(rules).in_room("!room:hs") is DEFAULTS
        in_muted = compile_rules(rules).in_room("!muted:hs")
        assert in_muted.evaluate(view(text("hello"), room_id="!muted:hs"), user_id=ALICE) == SILENT


def test_an_event_names_the_few_whom_it_may_concern() -> None:
    assert DEFAULTS.outcome(view(text("hello"))).concerned == frozenset()
    assert DEFAULTS.outcome(view(mention(ALICE, BOB))).concerned == frozenset({ALICE, BOB})
    assert DEFAULTS.outcome(
        view({"membership": "invite"}, "m.room.member", state_key=BOB)
    ).concerned == frozenset({BOB})


def own(
    conditions: Sequence[Mapping[str, Any]], *, actions: Sequence[Any] = ("notify",), rule_id: str = "own"
) -> dict[str, Any]:
    return {
        "rule_id": rule_id,
        "default": False,
        "enabled": True,
        "conditions": conditions,
        "actions": actions,
    }


def matches(condition: Mapping[str, Any], event: EventView, **reader: Any) -> bool:
    return compile_rules({"override": [own([condition])]}).evaluate(event, user_id=ALICE, **reader).notify


@pytest.mark.parametrize(
    ("key", "pattern", "event", "expected"),
    [
        ("content.topic", "lunc?*", view({"topic": "Lunch plans"}), True),
        ("content.topic", "lunc?*", view({"topic": "LUNCH"}), True),
        ("content.topic", "lunc?*", view({"topic": " lunch"}), False),
        ("content.topic", "lunc?*", view({"topic": "lunc"}), False),
        ("content.topic", "*", view({"topic": None}), False),
        ("content.topic", "*", view({}), False),
        ("content.body", "ex*ple", view(text("An example event.")), True),
        ("content.body", "ex*ple", view(text("exple")), True),
        ("content.body", "ex*ple", view(text("An exciting triple-whammy")), True),
        ("content.body", "cake", view(text("pancake")), False),
        ("content.body", "cake", view(text("CAKE!")), True),
        ("content.body", "cake", view(text("cake_walk")), False),
        ("content.body", "cake", view(text("pancake, cake")), True),
        ("content.body", "caf?", view(text("un café")), True),
        ("content.m\\.x.a\\\\b", "y", view({"m.x": {"a\\b": "y"}}), True),
        ("content.m.x", "y", view({"m.x": "y"}), False),
        ("content.a\\x", "y", view({"a\\x": "y"}), True),
        ("type", "M.ROOM.*", view({}), True),
        ("type", "m.room.messag", view({}), False),
        ("state_key", "", view({}, "a", state_key=""), True),
        ("state_key", "", view({}, "a"), False),
        ("state_key", "*", view({}, "a"), False),
        ("sender", "@sender:*", view({}), True),
        ("room_id", "!room:hs", view({}), True),
        ("redacts", "$r", view({}, redacts="$r"), True),
        ("origin_server_ts", "1", view({}), False),
        ("content", "*", view({}), False),
    ],
)
def test_event_match(key: str, pattern: str, event: EventView, expected: bool) -> None:
    assert matches({"kind": "event_match", "key": key, "pattern": pattern}, event) is expected


@pytest.mark.parametrize(
    ("value", "found", "expected"),
    [
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (1, 1, True),
        (1, 1.0, False),
        ("true", True, False),
        ("x", "X", False),
        (None, None, True),
        (None, False, False),
        ([], [], False),
        ({}, {}, False),
        (1.5, 1.5, False),
    ],
)
def test_event_property_is_and_contains(value: object, found: object, expected: bool) -> None:
    is_value = {"kind": "event_property_is", "key": "content.x", "value": value}
    contains = {"kind": "event_property_contains", "key": "content.x", "value": value}
    assert matches(is_value, view({"x": found})) is expected
    assert matches(contains, view({"x": [2, found]})) is expected
    assert not matches(contains, view({"x": found}))
    assert not matches(is_value, view({}))


@pytest.mark.parametrize(
    ("bounds", "members", "expected"),
    [
        ("2", 2, True),
        ("==2", 3, False),
        ("<3", 2, True),
        (">2", 2, False),
        (">=2", 2, True),
        ("<=1", 2, False),
    ],
)
def test_room_member_count(bounds: str, members: int, expected: bool) -> None:
    assert matches({"kind": "room_member_count", "is": bounds}, view({}, members=members)) is expected


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "room_member_count", "is": "two"},
        {"kind": "room_member_count", "is": 2},
        {"kind": "event_match", "key": "content.body"},
        {"kind": "event_match", "key": "content.body", "pattern": 3},
        {"kind": "event_match", "key": "content.body", "pattern": "*" * 10_000},
        {"kind": "event_property_is", "key": "content.body"},
        {"kind": "org.example.unheard_of"},
        {},
    ],
)
def test_what_nobody_understands_never_matches(condition: dict[str, Any]) -> None:
    assert not matches(condition, view(text("hello"), members=2))


def test_contains_display_name() -> None:
    condition = {"kind": "contains_display_name"}
    assert matches(condition, view(text("hi ALICE (the great)*!")), display_name="Alice (the Great)*")
    assert not matches(condition, view(text("malice")), display_name="alice")
    assert not matches(condition, view(text("alice")), display_name="")
    assert not matches(condition, view(text("alice")))
    assert not matches(condition, view({"body": 3}), display_name="3")


def test_thread_subscriptions() -> None:
    rules = compile_rules(DEFAULT_RULES)
    in_thread = view(text("hello"), thread="$root")
    assert rules.evaluate(in_thread, user_id=ALICE, is_subscribed=True).sound == "default"
    assert not rules.evaluate(in_thread, user_id=ALICE).notify
    assert rules.evaluate(view(mention(ALICE), thread="$root"), user_id=ALICE).highlight
    assert rules.evaluate(view(text("hello")), user_id=ALICE).notify
    assert DEFAULTS.evaluate(in_thread, user_id=ALICE).notify


def test_kinds_are_looked_at_in_order() -> None:
    actions = {kind: ["notify", {"set_tweak": "sound", "value": kind}] for kind in KINDS}
    rules = {
        "override": [own([], actions=actions["override"])],
        "content": [{**own([], actions=actions["content"]), "pattern": "hell*"}],
        "room": [own([], actions=actions["room"], rule_id="!room:hs")],
        "sender": [own([], actions=actions["sender"], rule_id="@sender:hs")],
        "underride": [own([], actions=actions["underride"])],
    }
    while rules:
        first = next(kind for kind in KINDS if kind in rules)
        assert compile_rules(rules).evaluate(view(text("hello")), user_id=ALICE).sound == first
        del rules[first]


def test_a_disabled_rule_never_matches() -> None:
    rule = {**own([]), "enabled": False}
    assert compile_rules({"override": [rule]}).evaluate(view({}), user_id=ALICE) == SILENT


def test_the_master_switch() -> None:
    rules = default_rules(ALICE)
    rules["override"][0]["enabled"] = True
    assert compile_rules(rules).evaluate(view(mention(ALICE)), user_id=ALICE) == SILENT


def test_actions() -> None:
    def actions(*given: Any) -> Actions:
        return compile_rules({"override": [own([], actions=given)]}).evaluate(view({}), user_id=ALICE)

    assert actions("dont_notify", "coalesce") == SILENT
    assert actions({"set_tweak": "highlight"}) == SILENT
    assert actions("notify", {"set_tweak": "highlight"}).highlight
    assert not actions("notify", {"set_tweak": "highlight", "value": False}).highlight
    assert actions("notify", {"set_tweak": []}, 3).json == ("notify",)


conditions = st.sampled_from(
    [
        {"kind": "event_match", "key": "type", "pattern": "m.room.message"},
        {"kind": "event_match", "key": "type", "pattern": "m.*"},
        {"kind": "event_match", "key": "type", "pattern": "m.other"},
        {"kind": "event_match", "key": "content.body", "pattern": "hello"},
        {"kind": "event_property_contains", "key": "content.users", "value": "[the user's Matrix ID]"},
        {"kind": "event_match", "key": "content.user", "pattern": "[the user's Matrix ID]"},
        {"kind": "contains_display_name"},
        {"kind": "thread_subscription", "subscribed": True},
        {"kind": "room_member_count", "is": "2"},
    ]
)
rule_sets = st.lists(st.lists(conditions, max_size=3), max_size=6)
contents = st.fixed_dictionaries(
    {},
    optional={
        "body": st.sampled_from(["hello", "hello alice", 3]),
        "users": st.sampled_from([[ALICE], [BOB, ALICE], [], "x"]),
        "user": st.sampled_from([ALICE, BOB, 1]),
    },
)


@given(rule_sets, contents, st.booleans(), st.sampled_from((None, "$root")), st.integers(1, 3))
def test_the_first_rule_that_matches_decides(
    rules: list[list[Any]], content: dict[str, Any], subscribed: bool, thread: str | None, members: int
) -> None:
    """Evaluating everybody together comes to what evaluating rule by rule comes to."""

    def numbered(number: int, tests: list[Any]) -> dict[str, Any]:
        return own(tests, actions=["notify", {"set_tweak": "sound", "value": str(number)}])

    def evaluate(compiled: CompiledRules, user_id: UserID) -> Actions:
        event = view(content, members=members, thread=thread)
        return compiled.evaluate(event, user_id=user_id, display_name="alice", is_subscribed=subscribed)

    each = [numbered(number, tests) for number, tests in enumerate(rules)]
    for user_id in (ALICE, BOB):
        alone = [evaluate(compile_rules({"override": [rule]}), user_id) for rule in each]
        expected = next((actions for actions in alone if actions.notify), SILENT)
        assert evaluate(compile_rules({"override": each}), user_id) == expected
