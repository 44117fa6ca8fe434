"""An HTTP client of one server in memory, with an access token or without."""

from __future__ import annotations

import itertools
import json as json_library
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from tests.conformance.validator import Answer
from tests.harness.refusals import Refused
from tests.harness.watch import Watch
from tests.harness.wire import Connection, Door, format_request

API = "/_matrix/client/v3"
_SHORT = ("/_", "/.well-known", "/im/", "/oauth2/")


def segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="!$@:*,;=+~")


class Client:
    """Keeps its connections as a browser does, and has every answer judged."""

    def __init__(
        self,
        door: Door | None,
        watch: Watch,
        *,
        access_token: str | None = None,
        address: str = "10.0.0.1",
    ) -> None:
        """Without a `door`, a class below this one carries the requests."""
        self._door = door
        self._watch = watch
        self._address = address
        self._connections: list[Connection] = []
        self.access_token = access_token
        self._transactions = itertools.count(1)

    def new_transaction_id(self) -> str:
        return f"t{next(self._transactions)}"

    def connection(self) -> Connection:
        """A connection that is free, or a new one."""
        self._connections = [one for one in self._connections if one.transport.is_connected]
        for connection in self._connections:
            if connection.is_usable:
                return connection
        assert self._door is not None, "this client has no connections in memory"
        connection = Connection(self._door, self._address)
        self._connections.append(connection)
        return connection

    def hang_up(self) -> None:
        """Drop every connection, with whatever is under way on it."""
        for connection in self._connections:
            connection.hang_up()

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
    ) -> Answer:
        """Send a request and return its answer, whatever it says.

        A path that names no API is one of the client-server API. `raw` is a body that need not be JSON.
        """
        target = path if path.startswith(_SHORT) else API + path
        if query:
            present = [(key, value) for key, value in query.items() if value is not None]
            text = [(key, str(value).lower() if isinstance(value, bool) else value) for key, value in present]
            target += ("&" if "?" in target else "?") + urlencode(text, doseq=True)
        sent: dict[str, str] = {}
        body = raw
        if body is None:
            body = (
                b""
                if json is None and method in ("GET", "HEAD", "OPTIONS", "DELETE")
                else (json_library.dumps({} if json is None else json).encode())
            )
        if body:
            sent["Content-Type"] = "application/json"
        if authenticated and self.access_token is not None:
            sent["Authorization"] = f"Bearer {self.access_token}"
        sent.update(headers or {})
        answer = await self._carry(method, target, sent, body)
        if method != "HEAD":
            self._watch.saw(method, target, body, answer)
        return answer

    async def _carry(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        message = format_request(method, target, headers, body)
        return await self.connection().send(message, head_only=method == "HEAD")

    async def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
    ) -> dict[str, Any]:
        """The JSON of a successful answer.

        Raises:
            Refused: the server said no.
        """
        answer = await self.ask(
            method, path, json, query=query, raw=raw, headers=headers, authenticated=authenticated
        )
        if answer.status >= 300:
            raise Refused(f"{method} {path}", answer)
        result: dict[str, Any] = answer.json
        return result
