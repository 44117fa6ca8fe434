"""Server access control lists: which servers may take part in a room.

Spec: https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from homeserver.events.glob import Glob, compile_glob

_PORT = re.compile(r":[0-9]*\Z")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)


class ServerACL:
    """The list of one room, ready to be asked."""

    __slots__ = ("_allow", "_allow_ip_literals", "_answers", "_deny")

    def __init__(self, content: Mapping[str, Any]) -> None:
        """`content` is that of the `m.room.server_acl` event."""
        self._allow = _globs(content.get("allow"))
        self._deny = _globs(content.get("deny"))
        self._allow_ip_literals = content.get("allow_ip_literals") is not False
        self._answers: dict[str, bool] = {}

    def allows(self, server_name: str) -> bool:
        """Whether the server may take part."""
        answer = self._answers.get(server_name)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[server_name] = self._judge(server_name)
        return answer

    def _judge(self, server_name: str) -> bool:
        # Ports do not matter.
        host = _PORT.sub("", server_name)
        # 1. IP literals.
        if not self._allow_ip_literals and is_ip_literal(host):
            return False
        # 2. Those who are denied.
        if any(glob.matches(host) for glob in self._deny):
            return False
        # 3. Those who are allowed; 4. nobody else.
        return any(glob.matches(host) for glob in self._allow)


_REMEMBERED = 10_000


def is_allowed(content: Mapping[str, Any] | None, server_name: str) -> bool:
    """Whether a room with this list, or None, lets the server take part."""
    return content is None or ServerACL(content).allows(server_name)


def is_ip_literal(host: str) -> bool:
    """Whether a server name without its port is an IP address."""
    return host.startswith("[") or _IPV4.fullmatch(host) is not None


def _globs(patterns: object) -> list[Glob]:
    if not isinstance(patterns, list):
        return []
    return [compile_glob(pattern, ignore_case=True) for pattern in patterns if isinstance(pattern, str)]
