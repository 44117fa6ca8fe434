"""Asking the server on this machine, by whichever of its listeners is at hand."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.listeners import Listener
from homeserver.synctl.errors import Refused
from homeserver.synctl.site import Site

TIMEOUT_S = 10.0


class Unreachable(Exception):
    """Nobody answers."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    status: int
    body: Any

    @property
    def error(self) -> str:
        """Why it refused."""
        if isinstance(self.body, dict) and isinstance(self.body.get("error"), str):
            return str(self.body["error"])
        return f"the server answered {self.status}"


def ask(site: Site, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
    """One request to the running server.

    Raises:
        Unreachable: nobody answers.
        Refused: the configuration has no listener that this could use.
    """
    connection = _connection(_choose(site))
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(error)) from error
    finally:
        connection.close()
    try:
        return Reply(answer.status, json.loads(data))
    except ValueError:
        return Reply(answer.status, data.decode("utf-8", "replace"))


def _choose(site: Site) -> Listener:
    """A listener that serves everything: without TLS, if there is one."""
    fit = [one for one in site.config.listeners.listeners if one.type == "http" and one.port != 0]
    if not fit:
        raise Refused("the configuration has no listener of type http")
    return min(fit, key=lambda one: (one.tls, bool(one.families)))


def _connection(listener: Listener) -> http.client.HTTPConnection:
    if listener.path is not None:
        return _UnixConnection(listener.path)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - compared, not bound
        listener.bind_addresses[0], listener.bind_addresses[0]
    )
    if not listener.tls:
        return http.client.HTTPConnection(host, listener.port, timeout=TIMEOUT_S)
    context = ssl._create_unverified_context()  # noqa: S323  # this machine's address is not in the certificate
    return http.client.HTTPSConnection(host, listener.port, timeout=TIMEOUT_S, context=context)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))
