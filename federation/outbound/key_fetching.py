"""Asks servers, and notaries, for signing keys.

Spec: https://spec.matrix.org/v1.19/server-server-api/#querying-keys-through-another-server
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from federation.outbound.policy import FederationPolicy
from federation.outbound.transport import RemoteRequest, Transport
from federation.wire.keys import ServerKeys, parse_server_keys
from homeserver.errors import InvalidSignature, MatrixError, RemoteError
from homeserver.events.canonical_json import decode_json, encode_canonical
from homeserver.events.signatures import verify_json
from homeserver.ids import ServerName

MAX_KEYS_BYTES = 256 * 1024
MAX_NOTARY_BYTES = 10 * 1024 * 1024
TIMEOUT_MS = 15_000

Wanted = Mapping[ServerName, Mapping[str, int]]
"""Servers, the key IDs wanted of each, and until when each key must be valid (ms)."""


@dataclass(frozen=True, slots=True)
class Notary:
    """A server whose word about others' keys is taken. Without `keys`, those that it publishes itself count."""

    server: ServerName
    keys: Mapping[str, bytes] = field(default_factory=dict)


class KeySource(Protocol):
    """Somewhere to ask for keys."""

    async def from_owner(self, server: ServerName) -> ServerKeys: ...

    async def from_notary(self, notary: Notary, wanted: Wanted) -> list[ServerKeys]: ...


class RemoteKeySource:
    """Asks over the network."""

    def __init__(self, transport: Transport, policy: FederationPolicy) -> None:
        self._transport = transport
        self._policy = policy

    async def from_owner(self, server: ServerName) -> ServerKeys:
        """What the server says its keys are.

        Raises:
            RemoteError: it does not say, or not validly.
        """
        request = RemoteRequest(
            server, "GET", "/_matrix/key/v2/server", timeout_ms=TIMEOUT_MS, max_bytes=MAX_KEYS_BYTES
        )
        return parse_server_keys(await self._ask(request), server)

    async def from_notary(self, notary: Notary, wanted: Wanted) -> list[ServerKeys]:
        """What the notary says about the keys of servers. Answers that it or their owner has not signed are dropped.

        Raises:
            RemoteError: it does not say anything, or not validly.
        """
        query = {
            server: {key_id: {"minimum_valid_until_ts": until} for key_id, until in keys.items()}
            for server, keys in wanted.items()
        }
        request = RemoteRequest(
            notary.server,
            "POST",
            "/_matrix/key/v2/query",
            timeout_ms=2 * TIMEOUT_MS,
            headers={"Content-Type": "application/json"},
            body=encode_canonical({"server_keys": query}, strict=False),
            max_bytes=MAX_NOTARY_BYTES,
        )
        answer = await self._ask(request)
        keys = notary.keys or {
            key_id: key.public for key_id, key in (await self.from_owner(notary.server)).keys.items()
        }
        objects = answer.get("server_keys")
        if not isinstance(objects, list):
            raise RemoteError(f"the notary {notary.server} answers without server_keys")
        return _believable(objects, notary.server, keys, wanted.keys())

    async def _ask(self, request: RemoteRequest) -> dict[str, Any]:
        self._policy.check(request.destination)
        answer = await self._transport.request(request)
        if answer.status != 200:
            raise RemoteError(
                f"{request.destination} answers {answer.status} when asked for keys", status=answer.status
            )
        try:
            value = decode_json(answer.body)
        except MatrixError as error:
            raise RemoteError(f"the keys that {request.destination} gives are {error.error}") from error
        if not isinstance(value, dict):
            raise RemoteError(f"the keys that {request.destination} gives are not an object")
        return value


def _believable(
    objects: list[Any], notary: ServerName, keys: Mapping[str, bytes], asked: Collection[ServerName]
) -> list[ServerKeys]:
    found = []
    for one in objects:
        server = one.get("server_name") if isinstance(one, dict) else None
        if not isinstance(server, str) or server not in asked:
            continue
        server = ServerName(server)
        try:
            verify_json(one, notary, keys)
            found.append(parse_server_keys(one, server))
        except (InvalidSignature, RemoteError):
            # One bad answer says nothing about the others.
            continue
    return found
