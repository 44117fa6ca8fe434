"""Server ACLs."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.events.server_acl import is_allowed


@pytest.mark.parametrize(
    ("content", "server", "expected"),
    [
        (None, "evil.example", True),
        ({}, "good.example", False),
        ({"allow": []}, "good.example", False),
        ({"allow": ["*"]}, "good.example", True),
        ({"allow": ["*"], "deny": ["evil.example"]}, "evil.example", False),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "sub.evil.example", False),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "evil.example", True),
        ({"allow": ["*"], "deny": ["EVIL.example"]}, "evil.EXAMPLE", False),
        ({"allow": ["*"], "deny": ["evil.example"]}, "evil.example:8448", False),
        ({"allow": ["*"], "deny": ["evil.example:8448"]}, "evil.example:8448", True),
        ({"allow": ["goo?.example"]}, "good.example", True),
        ({"allow": ["goo?.example"]}, "goo.example", False),
        ({"allow": ["good.example"]}, "xgood.example", False),
        ({"allow": ["good.example"]}, "goodxexample", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "192.0.2.1", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "192.0.2.1:80", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "[2001:db8::1]", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "[2001:db8::1]:80", False),
        ({"allow": ["*"], "allow_ip_literals": False}, "192.0.2.example", True),
        ({"allow": ["*"], "allow_ip_literals": True}, "192.0.2.1", True),
        ({"allow": ["*"], "allow_ip_literals": "false"}, "192.0.2.1", True),
        ({"allow": ["*"]}, "[2001:db8::1]:80", True),
        ({"allow": ["*"], "deny": ["[2001:db8::1]"]}, "[2001:db8::1]:80", False),
        ({"allow": "*"}, "good.example", False),
        ({"allow": [3, None, "*"], "deny": [{}]}, "good.example", True),
        ({"allow": ["*"], "deny": "*"}, "good.example", True),
    ],
)
def test_who_may_take_part(content: dict[str, Any] | None, server: str, expected: bool) -> None:
    assert is_allowed(content, server) is expected
