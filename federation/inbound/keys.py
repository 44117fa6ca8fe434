"""Our own keys, and as a notary those of others; and the name of our software.

Spec: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from federation.outbound.identity import Identity
from federation.outbound.key_store import KeyStore
from federation.outbound.keyring import Keyring
from federation.wire.keys import countersign
from homeserver.errors import InvalidParam
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.ids import ServerName, is_server_name
from homeserver.runtime.clock import Clock

MAX_SERVERS = 200
"""Servers that one notary query may ask about: each may cost us a request."""


class Criteria(msgspec.Struct):
    """What is asked of one key."""

    minimum_valid_until_ts: int | None = None


class KeyQuery(msgspec.Struct):
    """The body of a notary query: server, key ID, criteria. No key IDs are all keys."""

    server_keys: dict[str, dict[str, Criteria]]


class OneServerQuery(msgspec.Struct):
    """The query parameters of a notary query about one server."""

    minimum_valid_until_ts: int | None = None


class KeyEndpoints:
    """What anybody may ask about keys."""

    def __init__(
        self, identity: Identity, keyring: Keyring, store: KeyStore, clock: Clock, *, software_version: str
    ) -> None:
        self._identity = identity
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._version = software_version

    @endpoint(
        "GET",
        "/_matrix/key/v2/server",
        auth=Auth.NONE,
        # COMPAT(servers before r0.1.0): they ask for one key, and take all of them for an answer.
        aliases=("/_matrix/key/v2/server/{key_id}",),
    )
    async def get_server_key(self, key_id: str = "") -> dict[str, Any]:
        """Our signing keys.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
        """
        return self._identity.published(self._clock.now_ms())

    @endpoint(
        "POST", "/_matrix/key/v2/query", auth=Auth.NONE, rate_limit=RateLimit("federation", by_address=True)
    )
    async def bulk_perspectives_key_query(self, body: KeyQuery) -> dict[str, Any]:
        """The keys of several servers, countersigned.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query
        """
        if len(body.server_keys) > MAX_SERVERS:
            raise InvalidParam(f"one query is about at most {MAX_SERVERS} servers")
        now_ms = self._clock.now_ms()
        wanted = {
            ServerName(server): {
                key_id: now_ms if one.minimum_valid_until_ts is None else one.minimum_valid_until_ts
                for key_id, one in keys.items()
            }
            for server, keys in body.server_keys.items()
            if is_server_name(server)
        }
        return {"server_keys": await self._answers(wanted, now_ms)}

    @endpoint(
        "GET",
        "/_matrix/key/v2/query/{server_name}",
        auth=Auth.NONE,
        # COMPAT(servers before r0.1.0): they ask for one key.
        aliases=("/_matrix/key/v2/query/{server_name}/{key_id}",),
        rate_limit=RateLimit("federation", by_address=True),
    )
    async def perspectives_key_query(
        self, server_name: ServerName, query: OneServerQuery, key_id: str = ""
    ) -> dict[str, Any]:
        """The keys of one server, countersigned.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2queryservername
        """
        now_ms = self._clock.now_ms()
        until_ms = now_ms if query.minimum_valid_until_ts is None else query.minimum_valid_until_ts
        keys = {key_id: until_ms} if key_id else {}
        return {"server_keys": await self._answers({server_name: keys}, now_ms, default_until_ms=until_ms)}

    @endpoint("GET", "/_matrix/federation/v1/version", auth=Auth.NONE)
    async def get_version(self) -> dict[str, Any]:
        """The name and version of this software.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version
        """
        return {"server": {"name": "Hearth", "version": self._version}}

    async def _answers(
        self,
        wanted: Mapping[ServerName, Mapping[str, int]],
        now_ms: int,
        *,
        default_until_ms: int | None = None,
    ) -> list[dict[str, Any]]:
        us = self._identity.server_name
        answers: list[dict[str, Any]] = []
        if us in wanted:
            answers.append(self._identity.published(now_ms))
        others = {server: keys for server, keys in wanted.items() if server != us}
        await self._keyring.refresh_for_notary(
            others, now_ms if default_until_ms is None else default_until_ms
        )
        for server, keys in others.items():
            for answer in await self._store.find_answers(server, keys):
                signed = countersign(answer, us, self._identity.keys)
                if signed is not None:
                    answers.append(signed)
        return answers
