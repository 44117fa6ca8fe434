"""The push rules that every user has until they change them.

Two rules speak of the user: they say `YOU` here, so that all users can share them.
Spec: https://spec.matrix.org/v1.19/client-server-api/#predefined-rules
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Rule = dict[str, Any]

YOU: Final = "[the user's Matrix ID]"
"""What stands for the user's own ID in `DEFAULT_RULES`, as it does in the specification."""

KINDS: Final = ("override", "content", "postcontent", "room", "sender", "underride")
"""The kinds of rules in the order in which they are looked at."""

MASTER: Final = ".m.rule.master"
"""The one rule of the server that stands above the user's own."""

# MSC4306 and MSC3930 are not in the specification yet; their rules bear the names that clients look for.
_SOUND = {"set_tweak": "sound", "value": "default"}
_RING = {"set_tweak": "sound", "value": "ring"}
_HIGHLIGHT = {"set_tweak": "highlight"}
_POLLS = (("m.poll", ".m.rule.poll"), ("org.matrix.msc3381.poll", ".org.matrix.msc3930.rule.poll"))


def _rule(
    rule_id: str, conditions: Sequence[Rule], actions: Sequence[str | Rule] = (), *, enabled: bool = True
) -> Rule:
    return {
        "rule_id": rule_id,
        "default": True,
        "enabled": enabled,
        "conditions": list(conditions),
        "actions": list(actions),
    }


def _match(key: str, pattern: str) -> Rule:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _is(key: str, value: object) -> Rule:
    return {"kind": "event_property_is", "key": key, "value": value}


_TWO_MEMBERS = {"kind": "room_member_count", "is": "2"}


def _subscription(*, subscribed: bool) -> Rule:
    return {"kind": "io.element.msc4306.thread_subscription", "subscribed": subscribed}


_OVERRIDE = (
    _rule(MASTER, (), enabled=False),
    _rule(".m.rule.suppress_notices", (_match("content.msgtype", "m.notice"),)),
    _rule(
        ".m.rule.invite_for_me",
        (_match("type", "m.room.member"), _match("content.membership", "invite"), _match("state_key", YOU)),
        ("notify", _SOUND),
    ),
    _rule(".m.rule.member_event", (_match("type", "m.room.member"),)),
    _rule(
        ".m.rule.is_user_mention",
        ({"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": YOU},),
        ("notify", _SOUND, _HIGHLIGHT),
    ),
    _rule(
        ".m.rule.is_room_mention",
        (
            _is(r"content.m\.mentions.room", True),
            {"kind": "sender_notification_permission", "key": "room"},
        ),
        ("notify", _HIGHLIGHT),
    ),
    _rule(
        ".m.rule.tombstone",
        (_match("type", "m.room.tombstone"), _match("state_key", "")),
        ("notify", _HIGHLIGHT),
    ),
    _rule(".m.rule.reaction", (_match("type", "m.reaction"),)),
    _rule(".m.rule.room.server_acl", (_match("type", "m.room.server_acl"), _match("state_key", ""))),
    _rule(".m.rule.suppress_edits", (_is(r"content.m\.relates_to.rel_type", "m.replace"),)),
    *(_rule(f"{rule}_response", (_is("type", f"{event}.response"),)) for event, rule in _POLLS),
)

_POSTCONTENT = (
    _rule(".io.element.msc4306.rule.unsubscribed_thread", (_subscription(subscribed=False),)),
    _rule(
        ".io.element.msc4306.rule.subscribed_thread", (_subscription(subscribed=True),), ("notify", _SOUND)
    ),
)

_UNDERRIDE = (
    _rule(".m.rule.call", (_match("type", "m.call.invite"),), ("notify", _RING)),
    _rule(
        ".m.rule.encrypted_room_one_to_one",
        (_TWO_MEMBERS, _match("type", "m.room.encrypted")),
        ("notify", _SOUND),
    ),
    _rule(".m.rule.room_one_to_one", (_TWO_MEMBERS, _match("type", "m.room.message")), ("notify", _SOUND)),
    _rule(".m.rule.message", (_match("type", "m.room.message"),), ("notify",)),
    _rule(".m.rule.encrypted", (_match("type", "m.room.encrypted"),), ("notify",)),
    *(
        rule
        for event, name in _POLLS
        for stage in ("start", "end")
        for rule in (
            _rule(
                f"{name}_{stage}_one_to_one",
                (_TWO_MEMBERS, _is("type", f"{event}.{stage}")),
                ("notify", _SOUND),
            ),
            _rule(f"{name}_{stage}", (_is("type", f"{event}.{stage}"),), ("notify",)),
        )
    ),
)

DEFAULT_RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "override": _OVERRIDE,
    "content": (),
    "postcontent": _POSTCONTENT,
    "room": (),
    "sender": (),
    "underride": _UNDERRIDE,
}
"""The rules by kind, most important first. They are shared: whoever changes one changes it for everybody."""


def default_rules(user_id: str) -> dict[str, list[Rule]]:
    """The rules as this user reads them; the outer layers of each rule are theirs to change."""
    return {kind: [_addressed(rule, user_id) for rule in rules] for kind, rules in DEFAULT_RULES.items()}


def _addressed(rule: Rule, user_id: str) -> Rule:
    conditions = [
        {name: user_id if value == YOU else value for name, value in condition.items()}
        for condition in rule["conditions"]
    ]
    return {**rule, "conditions": conditions, "actions": list(rule["actions"])}
