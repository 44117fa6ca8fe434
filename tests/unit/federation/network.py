"""Servers that are only their answers, and the transport that reaches them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from federation.outbound.transport import RemoteRequest
from federation.wire.keys import build_server_keys
from homeserver.errors import RemoteError
from homeserver.events.signatures import SigningKey
from homeserver.http.gate.exchange import NoAnswer
from homeserver.http.gate.reading import Answer, AnswerTooLarge
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock

Handler = Callable[[RemoteRequest], Awaitable[Answer]]

LATENCY_S = 0.05


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, headers or {}, body)


class MemoryNetwork:
    """A `Transport`: requests take a moment, and servers that are not here do not answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.servers: dict[str, Handler] = {}
        self.requests: list[RemoteRequest] = []

    async def request(self, request: RemoteRequest) -> Answer:
        self.requests.append(request)
        await self._clock.sleep(LATENCY_S)
        handler = self.servers.get(request.destination)
        if handler is None:
            raise NoAnswer(f"{request.destination} does not answer")
        given = await handler(request)
        if len(given.body) > request.max_bytes:
            raise AnswerTooLarge(request.max_bytes)
        if request.open_sink is None or given.status != 200:
            return given
        sink = request.open_sink(Answer(given.status, given.headers))
        for start in range(0, len(given.body), 7):
            sink(given.body[start : start + 7])
        return Answer(given.status, given.headers)

    def asked(self, server: str) -> list[str]:
        """The requests that the server got."""
        return [f"{one.method} {one.uri}" for one in self.requests if one.destination == server]


class KeyServer:
    """A server that does nothing but publish keys, and as a notary those of others."""

    def __init__(self, network: MemoryNetwork, clock: Clock, name: str) -> None:
        self.name = ServerName(name)
        self.key = SigningKey.of("1", name.encode().ljust(32, b".")[:32])
        self.keys = [self.key]
        self.old: list[Any] = []
        self.validity_ms = 3_600_000
        self.is_up = True
        self.notarised: list[dict[str, Any]] = []
        self._clock = clock
        network.servers[name] = self._answer

    def published(self) -> dict[str, Any]:
        return build_server_keys(
            self.name, self.keys, self.old, valid_until_ms=self._clock.now_ms() + self.validity_ms
        )

    async def _answer(self, request: RemoteRequest) -> Answer:
        if not self.is_up:
            raise RemoteError(f"{self.name} is down")
        if request.uri == "/_matrix/key/v2/server":
            return answer(self.published())
        if request.uri == "/_matrix/key/v2/query":
            return answer({"server_keys": self.notarised})
        return answer({"errcode": "M_UNRECOGNIZED", "error": "?"}, 404)
