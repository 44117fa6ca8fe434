"""Push rules: whom an event notifies, and how.

A set of rules is compiled once for all users who have the same. An event is evaluated once for each set: the
rules that ask nothing of the user are settled for everybody, and what is left, most often nothing, names the
few users whom it may concern. So in a room of thousands who kept the server's rules a message costs one
evaluation.
Spec: https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from homeserver.events.push_conditions import (
    BODY,
    EventView,
    PersonalCondition,
    Reader,
    SharedCondition,
    compile_condition,
    property_matches,
)
from homeserver.events.push_rule_defaults import DEFAULT_RULES, KINDS

__all__ = ["DEFAULTS", "Actions", "CompiledRules", "EventView", "Outcome", "Reader", "compile_rules"]

MAX_TYPES_REMEMBERED = 200

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Actions:
    """What a rule does."""

    notify: bool = False
    highlight: bool = False
    sound: str | None = None
    json: tuple[Any, ...] = ()
    """The actions as they stand in the rule, without those of history."""


_NOBODY: Final[frozenset[str]] = frozenset()

NOTHING: Final = Actions()
"""What happens when no rule matches: nobody is told."""


@dataclass(slots=True, frozen=True)
class _Rule:
    """One rule. `type` and `room_id` are those of the only events that it can match, in lower case."""

    key: tuple[object, ...]
    shared: tuple[SharedCondition, ...]
    personal: tuple[PersonalCondition, ...]
    actions: Actions
    type: str | None
    room_id: str | None

    def is_met(self, view: EventView) -> bool:
        """Whether the event meets what the rule asks of no user in particular."""
        for condition in self.shared:  # noqa: SIM110  # half as fast as a generator, millions of times a day
            if not condition(view):
                return False
        return True

    def concerned(self, view: EventView) -> frozenset[str] | None:
        """The only users for whom the rule can hold; None if that may be anybody."""
        users: frozenset[str] | None = None
        for condition in self.personal:
            named = condition.concerns(view)
            if named is not None:
                users = frozenset(named) if users is None else users.intersection(named)
        return users

    def holds(self, view: EventView, reader: Reader) -> bool:
        return all(condition.holds(view, reader) for condition in self.personal)


class Outcome:
    """What a set of rules makes of one event."""

    __slots__ = ("_personal", "_view", "actions", "concerned")

    def __init__(
        self, view: EventView, actions: Actions, personal: Sequence[_Rule], concerned: frozenset[str] | None
    ) -> None:
        self._view = view
        self._personal = personal
        self.actions = actions
        """What happens for everybody whom no personal rule matches."""
        self.concerned = concerned
        """The only users for whom something else may happen; None if that may be anybody."""

    def of(self, reader: Reader) -> Actions:
        """What happens for this user."""
        for rule in self._personal:
            if rule.holds(self._view, reader):
                return rule.actions
        return self.actions


class CompiledRules:
    """A set of rules; equal sets are one object (`compile_rules`), so that users can be grouped by it."""

    __slots__ = ("__weakref__", "_by_type", "_rules", "key")

    def __init__(self, rules: Sequence[_Rule]) -> None:
        """Internal: `compile_rules` sees to it that equal sets are one."""
        self.key = tuple(rule.key for rule in rules)
        self._rules = rules
        self._by_type: dict[str, list[_Rule]] = {}

    def outcome(self, view: EventView) -> Outcome:
        """What the rules make of the event; computed once for each view."""
        found: Outcome | None = view.outcomes.get(self)
        if found is None:
            found = view.outcomes[self] = self._evaluate(view)
        return found

    def evaluate(
        self, view: EventView, *, user_id: str, display_name: str | None = None, is_subscribed: bool = False
    ) -> Actions:
        """What the event does for one user: nothing if it is their own.

        `display_name` is the user's in the room, `is_subscribed` whether they are subscribed to the thread.
        """
        if user_id == view.event.sender:
            return NOTHING
        outcome = self.outcome(view)
        if outcome.concerned is not None and user_id not in outcome.concerned:
            return outcome.actions
        return outcome.of(Reader(user_id, display_name=display_name, is_subscribed=is_subscribed))

    def in_room(self, room_id: str) -> CompiledRules:
        """These rules without those about other rooms: more users of the room share them."""
        room = room_id.lower()
        return _shared([rule for rule in self._rules if rule.room_id is None or rule.room_id == room])

    def _evaluate(self, view: EventView) -> Outcome:
        personal: list[_Rule] = []
        concerned: frozenset[str] | None = _NOBODY
        actions = NOTHING
        for rule in self._for_type(view.event.type):
            if not rule.is_met(view):
                continue
            if not rule.personal:
                actions = rule.actions
                break
            users = rule.concerned(view)
            if users != _NOBODY:
                personal.append(rule)
                concerned = None if users is None or concerned is None else concerned | users
        return Outcome(view, actions, personal, concerned)

    def _for_type(self, event_type: str) -> list[_Rule]:
        rules = self._by_type.get(event_type)
        if rules is None:
            if len(self._by_type) >= MAX_TYPES_REMEMBERED:
                self._by_type.clear()
            folded = event_type.lower()
            rules = [rule for rule in self._rules if rule.type is None or rule.type == folded]
            self._by_type[event_type] = rules
        return rules


def compile_rules(rules: Mapping[str, Sequence[Mapping[str, Any]]]) -> CompiledRules:
    """The rules of a user, by kind and in the form of the client-server API.

    The server's own rules are known by their ID and flag; what they test is what the server says.
    """
    compiled = (_compile(kind, rule) for kind in KINDS for rule in rules.get(kind, ()))
    return _shared([rule for rule in compiled if rule is not None])


_known: WeakValueDictionary[tuple[object, ...], CompiledRules] = WeakValueDictionary()


def _shared(rules: Sequence[_Rule]) -> CompiledRules:
    key = tuple(rule.key for rule in rules)
    found = _known.get(key)
    if found is None:
        found = _known[key] = CompiledRules(rules)
    return found


_DEFAULT_CONDITIONS = {
    rule["rule_id"]: (rule["conditions"], _encode(rule["conditions"]))
    for rules in DEFAULT_RULES.values()
    for rule in rules
}


def _compile(kind: str, rule: Mapping[str, Any]) -> _Rule | None:
    """The rule, ready to be evaluated; None if it is disabled or can never match."""
    if rule.get("enabled") is False:
        return None
    rule_id, json = rule["rule_id"], _cleaned(rule["actions"])
    if kind == "room":
        return _Rule(
            (kind, rule_id, _encode(json)), (_is_room(rule_id),), (), _actions(json), None, rule_id.lower()
        )
    if kind == "sender":
        return _Rule((kind, rule_id, _encode(json)), (_is_sender(rule_id),), (), _actions(json), None, None)
    if kind == "content":
        pattern = rule["pattern"]
        test = property_matches(BODY, pattern)
        return (
            None
            if test is None
            else _Rule((kind, pattern, _encode(json)), (test,), (), _actions(json), None, None)
        )
    default = _DEFAULT_CONDITIONS.get(rule_id) if rule.get("default") else None
    conditions = rule.get("conditions") or () if default is None else default[0]
    encoded = _encode(conditions) if default is None else default[1]
    return _compile_conditions((kind, encoded, _encode(json)), conditions, _actions(json))


def _compile_conditions(
    key: tuple[object, ...], conditions: Sequence[Mapping[str, Any]], actions: Actions
) -> _Rule | None:
    shared: list[SharedCondition] = []
    personal: list[PersonalCondition] = []
    literal: dict[str, str] = {}
    for condition in conditions:
        compiled = compile_condition(condition)
        if compiled is None:
            return None
        if callable(compiled):
            shared.append(compiled)
        else:
            personal.append(compiled)
        field, value = _literal(condition)
        if field is not None:
            if field == "type":
                # Rules are looked up by type, which tests the condition.
                shared.pop()
                if literal.get(field, value) != value:
                    return None
            literal[field] = value
    return _Rule(key, tuple(shared), tuple(personal), actions, literal.get("type"), literal.get("room_id"))


def _literal(condition: Mapping[str, Any]) -> tuple[str | None, str]:
    """The field of every event, if the condition asks for one value of it, and the value, in lower case."""
    match condition:
        case {"kind": "event_match", "key": "type" | "room_id" as key, "pattern": str(pattern)}:
            if "*" not in pattern and "?" not in pattern:
                return key, pattern.lower()
        case {"kind": "event_property_is", "key": "room_id", "value": str(value)}:
            return "room_id", value.lower()
    return None, ""


def _is_room(room_id: str) -> SharedCondition:
    return lambda view: view.event.room_id == room_id


def _is_sender(user_id: str) -> SharedCondition:
    return lambda view: view.event.sender == user_id


def _cleaned(actions: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(
        action
        for action in actions
        if action == "notify" or (isinstance(action, dict) and isinstance(action.get("set_tweak"), str))
    )


def _actions(json: tuple[Any, ...]) -> Actions:
    if "notify" not in json:
        return NOTHING
    tweaks = {action["set_tweak"]: action for action in json if isinstance(action, dict)}
    highlight, sound = tweaks.get("highlight"), tweaks.get("sound", {}).get("value")
    return Actions(
        notify=True,
        highlight=highlight is not None and highlight.get("value") is not False,
        sound=sound if isinstance(sound, str) else None,
        json=json,
    )


DEFAULTS: Final = compile_rules(
    {kind: rules for kind, rules in DEFAULT_RULES.items() if kind != "postcontent"}
)
"""The rules of users who changed none. Those about thread subscriptions (MSC4306) are not among them."""
