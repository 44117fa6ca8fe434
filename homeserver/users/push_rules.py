"""A user's push rules: the server's, with what the user changed about them, and their own.

What is stored is only what the user changed, so that the server's rules can improve under everybody's feet.
Spec: https://spec.matrix.org/v1.19/client-server-api/#push-rules
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam, NotFound
from homeserver.events.push_rule_defaults import KINDS, MASTER, Rule, default_rules
from homeserver.ids import UserID, is_room_id, is_user_id
from homeserver.runtime.notifier import LogKind
from storage import push_rules as rows
from storage.database import Database
from storage.transaction import Transaction

Kind = Literal["override", "content", "postcontent", "room", "sender", "underride"]
Actions = Sequence[str | dict[str, Any]]

MAX_RULES = 1000
MAX_RULE_ID_BYTES = 255
MAX_RULE_BYTES = 4096
"""Every rule of every member is looked at for every message, so none may be long."""

_HISTORICAL_ACTIONS = ("dont_notify", "coalesce")


class RuleNotFound(NotFound):
    """The rule that another one is to be placed beside does not exist."""


@dataclass(frozen=True, slots=True)
class NewRule:
    """A rule that a client wrote."""

    rule_id: str
    actions: Actions
    conditions: Sequence[dict[str, Any]] | None = None
    pattern: str | None = None


class Changes(msgspec.Struct, omit_defaults=True):
    """What a user changed: their own rules by kind, most important first, and theirs of the server's by rule
    ID.
    """

    own: dict[str, list[Rule]] = {}
    defaults: dict[str, dict[str, Any]] = {}


_decode = msgspec.json.Decoder(Changes).decode


def merge(user_id: UserID, stored: bytes | None) -> dict[str, list[Rule]]:
    """The rules that hold for a user, most important first, in the form of the client-server API."""
    return _merged(user_id, Changes() if stored is None else _decode(stored))


class PushRules:
    """Reads and changes push rules."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self, user_id: UserID) -> dict[str, list[Rule]]:
        """Every rule of the user by kind."""
        return merge(user_id, await self._db.read(rows.find, user_id))

    async def load_rule(self, user_id: UserID, kind: Kind, rule_id: str) -> Rule:
        """One rule.

        Raises:
            NotFound: the user has no such rule.
        """
        for rule in (await self.load(user_id))[kind]:
            if rule["rule_id"] == rule_id:
                return rule
        raise NotFound(f"no {kind} rule {rule_id}")

    async def set_rule(
        self,
        user_id: UserID,
        kind: Kind,
        rule: NewRule,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Add one of the user's own rules, or change it; unless told where to go, a new one goes first.

        Raises:
            InvalidParam: the rule is not one that a user may have.
            RuleNotFound: there is no rule `before` or `after` among the user's own.
        """
        _check_rule_id(kind, rule.rule_id)
        written: Rule = {"rule_id": rule.rule_id, "actions": clean_actions(rule.actions)}
        if kind in ("override", "postcontent", "underride"):
            written["conditions"] = _checked_conditions(rule.conditions)
        elif kind == "content":
            if rule.pattern is None:
                raise InvalidParam("a content rule needs a pattern")
            written["pattern"] = rule.pattern
        if len(msgspec.json.encode(written)) > MAX_RULE_BYTES:
            raise InvalidParam(f"a rule has at most {MAX_RULE_BYTES} bytes")

        def put(changes: Changes) -> None:
            own = changes.own.setdefault(kind, [])
            index = _find(own, rule.rule_id)
            # A rule keeps its place and stays disabled if it is only rewritten.
            new = {**written, "enabled": True if index is None else own[index]["enabled"]}
            if index is not None and before is None and after is None:
                own[index] = new
                return
            if index is not None:
                del own[index]
            elif sum(map(len, changes.own.values())) >= MAX_RULES:
                raise InvalidParam(f"you cannot have more than {MAX_RULES} rules")
            own.insert(_place(own, before, after), new)

        await self._change(user_id, put)

    async def delete_rule(self, user_id: UserID, kind: Kind, rule_id: str) -> None:
        """Delete one of the user's own rules.

        Raises:
            NotFound: the user has no such rule of their own.
        """

        def remove(changes: Changes) -> None:
            own = changes.own.get(kind, [])
            index = _find(own, rule_id)
            if index is None:
                raise NotFound(f"no {kind} rule {rule_id}")
            del own[index]

        await self._change(user_id, remove)

    async def set_enabled(self, user_id: UserID, kind: Kind, rule_id: str, *, enabled: bool) -> None:
        """Have any rule heeded or not.

        Raises:
            NotFound: the user has no such rule.
        """
        await self._amend(user_id, kind, rule_id, "enabled", enabled)

    async def set_actions(self, user_id: UserID, kind: Kind, rule_id: str, actions: Actions) -> None:
        """Have any rule do something else.

        Raises:
            NotFound: the user has no such rule.
            InvalidParam: these are no actions.
        """
        await self._amend(user_id, kind, rule_id, "actions", clean_actions(actions))

    async def _amend(self, user_id: UserID, kind: Kind, rule_id: str, field: str, value: Any) -> None:
        def amend(changes: Changes) -> None:
            own = changes.own.get(kind, [])
            index = _find(own, rule_id)
            if index is not None:
                own[index][field] = value
            elif _find(default_rules(user_id)[kind], rule_id) is not None:
                changes.defaults.setdefault(rule_id, {})[field] = value
            else:
                raise NotFound(f"no {kind} rule {rule_id}")

        await self._change(user_id, amend)

    async def _change(self, user_id: UserID, change: Callable[[Changes], None]) -> None:
        await self._db.run(_apply, user_id, change)


def _apply(txn: Transaction, user_id: UserID, change: Callable[[Changes], None]) -> None:
    stored = rows.find(txn, user_id)
    changes = Changes(own={}, defaults={}) if stored is None else _decode(stored)
    change(changes)
    encoded = msgspec.json.encode(changes)
    if encoded != stored:
        position = txn.log(LogKind.PUSH_RULES, user_id=user_id, payload=_merged(user_id, changes))
        rows.save(txn, user_id, encoded, position)


def _merged(user_id: UserID, changes: Changes) -> dict[str, list[Rule]]:
    merged: dict[str, list[Rule]] = {}
    defaults = default_rules(user_id)
    for kind in KINDS:
        own = [{**rule, "default": False} for rule in changes.own.get(kind, ())]
        servers = [{**rule, **changes.defaults.get(rule["rule_id"], {})} for rule in defaults[kind]]
        # The master switch stands above everything; the user's rules above all other rules of the server.
        masters = [rule for rule in servers if rule["rule_id"] == MASTER]
        merged[kind] = [*masters, *own, *(rule for rule in servers if rule["rule_id"] != MASTER)]
    return merged


def clean_actions(actions: Actions) -> list[Any]:
    """The actions without those of history, which say nothing.

    Raises:
        InvalidParam: one is no action.
    """
    cleaned: list[Any] = []
    for action in actions:
        if isinstance(action, dict):
            if not isinstance(action.get("set_tweak"), str):
                raise InvalidParam("an action that is an object must have set_tweak")
            cleaned.append(action)
        elif action == "notify":
            cleaned.append(action)
        elif action not in _HISTORICAL_ACTIONS:
            raise InvalidParam(f"unknown action {action!r}")
    return cleaned


def _checked_conditions(conditions: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    for condition in conditions or ():
        if not isinstance(condition.get("kind"), str):
            raise InvalidParam("a condition must have a kind")
    return list(conditions or ())


def _check_rule_id(kind: Kind, rule_id: str) -> None:
    if not rule_id or len(rule_id.encode("utf-8", "surrogatepass")) > MAX_RULE_ID_BYTES:
        raise InvalidParam(f"a rule ID has between 1 and {MAX_RULE_ID_BYTES} bytes")
    if rule_id.startswith("."):
        raise InvalidParam("rule IDs that start with a dot are the server's")
    if "/" in rule_id or "\\" in rule_id:
        raise InvalidParam("a rule ID has no slashes or backslashes")
    if kind == "room" and not is_room_id(rule_id):
        raise InvalidParam("the ID of a room rule must be a room ID")
    if kind == "sender" and not is_user_id(rule_id):
        raise InvalidParam("the ID of a sender rule must be a user ID")


def _find(rules: Sequence[Rule], rule_id: str) -> int | None:
    return next((index for index, rule in enumerate(rules) if rule["rule_id"] == rule_id), None)


def _place(own: Sequence[Rule], before: str | None, after: str | None) -> int:
    """Where a rule goes; `before` counts if both are given."""
    beside = after if before is None else before
    if beside is None:
        return 0
    index = _find(own, beside)
    if index is None:
        raise RuleNotFound(f"before/after rule not found: {beside}")
    return index if before is not None else index + 1
