"""Push rules.

Spec: https://spec.matrix.org/v1.19/client-server-api/#push-rules-api
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.users.push_rules import Kind, NewRule, PushRules

_ALL = "/_matrix/client/v3/pushrules/"
_GLOBAL = "/_matrix/client/v3/pushrules/global/"
_RULE = "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}"


class Placement(msgspec.Struct):
    """Where a rule goes among those of its kind."""

    before: str | None = None
    after: str | None = None


class SetRule(msgspec.Struct):
    """A rule, as a client writes it."""

    actions: list[str | dict[str, Any]]
    conditions: list[dict[str, Any]] | None = None
    pattern: str | None = None


class SetEnabled(msgspec.Struct):
    """Whether a rule is heeded."""

    enabled: bool


class SetActions(msgspec.Struct):
    """What a rule does."""

    actions: list[str | dict[str, Any]]


class PushRuleEndpoints:
    """Reading and changing one's push rules."""

    def __init__(self, push_rules: PushRules) -> None:
        self._push_rules = push_rules

    @endpoint("GET", _ALL, aliases=(_ALL.rstrip("/"),))
    async def get_push_rules(self, who: Requester) -> dict[str, Any]:
        """Every rule set of the user; there is one.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrules
        """
        return {"global": await self._push_rules.load(who.user_id)}

    @endpoint("GET", _GLOBAL, aliases=(_GLOBAL.rstrip("/"),))
    async def get_push_rules_global(self, who: Requester) -> dict[str, Any]:
        """Every rule of the user.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobal
        """
        return await self._push_rules.load(who.user_id)

    @endpoint("GET", _RULE)
    async def get_push_rule(self, who: Requester, kind: Kind, rule_id: str) -> dict[str, Any]:
        """One rule.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleid
        """
        return await self._push_rules.load_rule(who.user_id, kind, rule_id)

    @endpoint("PUT", _RULE, rate_limit=RateLimit("push_rules"))
    async def set_push_rule(
        self, who: Requester, kind: Kind, rule_id: str, query: Placement, body: SetRule
    ) -> Empty:
        """Add a rule, or change one of the user's own.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
        """
        rule = NewRule(rule_id, body.actions, body.conditions, body.pattern)
        await self._push_rules.set_rule(who.user_id, kind, rule, before=query.before, after=query.after)
        return Empty()

    @endpoint("DELETE", _RULE)
    async def delete_push_rule(self, who: Requester, kind: Kind, rule_id: str) -> Empty:
        """Delete one of the user's own rules.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid
        """
        await self._push_rules.delete_rule(who.user_id, kind, rule_id)
        return Empty()

    @endpoint("GET", _RULE + "/enabled")
    async def is_push_rule_enabled(self, who: Requester, kind: Kind, rule_id: str) -> dict[str, Any]:
        """Whether a rule is heeded.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#get_matrixclientv3pushrulesglobalkindruleidenabled
        """
        rule = await self._push_rules.load_rule(who.user_id, kind, rule_id)
        return {"enabled": rule["enabled"]}

    @endpoint("PUT", _RULE + "/enabled")
    async def set_push_rule_enabled(
        self, who: Requester, kind: Kind, rule_id: str, body: SetEnabled
    ) -> Empty:
        """Have a rule heeded or not.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#put_matrixclientv3pushrulesglobalkindruleidenabled
        """
        await self._push_rules.set_enabled(who.user_id, kind, rule_id, enabled=body.enabled)
        return Empty()

    @endpoint("GET", _RULE + "/actions")
    async def get_push_rule_actions(self, who: Requester, kind: Kind, rule_id: str) -> dict[str, Any]:
        """What a rule does.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#get_matrixclientv3pushrulesglobalkindruleidactions
        """
        rule = await self._push_rules.load_rule(who.user_id, kind, rule_id)
        return {"actions": rule["actions"]}

    @endpoint("PUT", _RULE + "/actions")
    async def set_push_rule_actions(
        self, who: Requester, kind: Kind, rule_id: str, body: SetActions
    ) -> Empty:
        """Have a rule do something else; the server's own rules allow that too.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#put_matrixclientv3pushrulesglobalkindruleidactions
        """
        await self._push_rules.set_actions(who.user_id, kind, rule_id, body.actions)
        return Empty()
