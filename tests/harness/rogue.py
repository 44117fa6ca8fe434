"""A server that breaks the rules: it signs what it likes, and answers what it likes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from federation.outbound.transport import RemoteRequest
from federation.wire.keys import build_server_keys
from federation.wire.x_matrix import sign_request
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.hashes import event_id_of
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.events.signatures import SigningKey, sign_event
from homeserver.http.gate.reading import Answer
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import SeededRandomness
from tests.harness.network import Network

VICTIM = ServerName("one.test")
KEY_VALIDITY_MS = 3600 * 1000


class Rogue:
    """`answers` has what it says: by the beginning of a path below /_matrix, a value, an `Answer` or who makes one."""

    def __init__(self, network: Network, clock: Clock, name: str = "rogue.test") -> None:
        self.name = ServerName(name)
        self.user = f"@mallory:{name}"
        self.key = SigningKey.of("a_rogue", SeededRandomness(f"key of {name}").bytes(32))
        self.answers: dict[str, Any] = {}
        self.heard: list[str] = []
        self.version: RoomVersion = room_version("11")
        self.state: list[dict[str, Any]] = []
        self.latest: dict[str, Any] = {}
        self._clock = clock
        self._way_out = network.way_out(name)
        self._count = 0
        network.pretend(name, self)

    async def __call__(self, _origin: ServerName, request: RemoteRequest) -> Answer:
        path = request.uri.removeprefix("/_matrix/")
        self.heard.append(path)
        if path.startswith("key/v2/server"):
            until_ms = self._clock.now_ms() + KEY_VALIDITY_MS
            return _said(build_server_keys(self.name, [self.key], [], valid_until_ms=until_ms))
        for beginning, answer in self.answers.items():
            if path.startswith(beginning):
                value = answer(request) if callable(answer) else answer
                return _said(await value if inspect.isawaitable(value) else value)
        return Answer(404, {}, b'{"errcode":"M_NOT_FOUND","error":"no"}')

    async def asks(
        self, method: str, path: str, content: Any = None, *, signed: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """A request to the victim; `signed` changes what the signature is made for."""
        uri = f"/_matrix/{path}"
        body = None if content is None else encode_canonical(content, strict=False)
        fields: dict[str, Any] = {
            "method": method, "uri": uri, "origin": self.name, "destination": VICTIM, "content": body, "key": self.key,
        }  # fmt: skip
        headers = {
            "Authorization": sign_request(**{**fields, **(signed or {})}),
            "Content-Type": "application/json",
        }
        request = RemoteRequest(VICTIM, method, uri, timeout_ms=600_000, headers=headers, body=body)
        answer = await self._way_out.request(request)
        return answer.status, json.loads(answer.body)

    async def joins(self, room: str) -> None:
        """Be in a room by the rules."""
        path = f"{quote(room)}/{quote(self.user)}"
        versions = "&".join(f"ver={number}" for number in range(1, 13))
        status, made = await self.asks("GET", f"federation/v1/make_join/{path}?{versions}")
        assert status == 200, made
        self.version = room_version(made["room_version"])
        join = self.signs(made["event"])
        event_id = event_id_of(join, self.version)
        status, told = await self.asks(
            "PUT", f"federation/v2/send_join/{quote(room)}/{quote(event_id)}", join
        )
        assert status == 200, told
        self.state = [*told["state"], told["event"]]
        self.latest = told["event"]

    def signs(self, event: dict[str, Any], *, key: SigningKey | None = None) -> dict[str, Any]:
        """The event, hashed and signed."""
        event = {"origin_server_ts": self._clock.now_ms(), **event}
        if not self.version.event_ids_are_hashes:
            self._count += 1
            event.setdefault("event_id", f"$event{self._count}:{self.name}")
        event.pop("hashes", None)
        sign_event(event, self.version, self.name, key or self.key)
        return event

    def message(self, body: str, *, key: SigningKey | None = None, **changes: Any) -> dict[str, Any]:
        """A message of the rogue's user after the last event that it knows of, changed."""
        event = {
            "type": "m.room.message",
            "room_id": self.latest["room_id"],
            "sender": self.user,
            "content": {"msgtype": "m.text", "body": body},
            "depth": min(self.latest["depth"] + 1, self.version.max_depth),
            "prev_events": [self.reference(self.latest)],
            "auth_events": [self.reference(event) for event in self.state if self._authorises(event)],
        }
        return self.signs({**event, **changes}, key=key)

    def reference(self, event: dict[str, Any]) -> Any:
        event_id = self.id_of(event)
        return event_id if self.version.event_ids_are_hashes else [event_id, {}]

    def id_of(self, event: dict[str, Any]) -> str:
        return event_id_of(event, self.version)

    def _authorises(self, event: dict[str, Any]) -> bool:
        if event["type"] == "m.room.create":
            return not self.version.room_id_is_create_event_id
        return event["type"] == "m.room.power_levels" or event.get("state_key") == self.user

    async def sends(self, *pdus: Any, txn_id: str | None = None, **transaction: Any) -> dict[str, Any]:
        """What became of the events, by ID."""
        status, answer = await self.pushes(*pdus, txn_id=txn_id, **transaction)
        assert status == 200, answer
        results: dict[str, Any] = answer["pdus"]
        return results

    async def pushes(self, *pdus: Any, txn_id: str | None = None, **transaction: Any) -> tuple[int, Any]:
        self._count += 1
        content = {
            "origin": self.name,
            "origin_server_ts": self._clock.now_ms(),
            "pdus": list(pdus),
            **transaction,
        }
        return await self.asks("PUT", f"federation/v1/send/{txn_id or self._count}", content)


def _said(value: Any) -> Answer:
    if isinstance(value, Answer):
        return value
    return Answer(200, {}, value if isinstance(value, bytes) else json.dumps(value).encode())
