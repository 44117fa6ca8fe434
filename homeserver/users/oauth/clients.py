"""Clients that have registered themselves (RFC 7591)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from homeserver.users.oauth.errors import OAuthError
from homeserver.users.oauth.metadata import ClientMetadata, parse_metadata
from storage import oauth
from storage.database import Database
from storage.transaction import Transaction

IDLE_MS = 30 * 24 * 3600 * 1000
"""How long a client may be without sessions."""


class Clients:
    """Registers and finds them. Those with the same metadata share an ID."""

    def __init__(self, db: Database, clock: Clock, randomness: Randomness) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness

    async def register(self, given: Mapping[str, Any]) -> tuple[str, ClientMetadata]:
        """The ID of a client, and what of its metadata was understood.

        Raises:
            OAuthError: the metadata are not acceptable.
        """
        metadata = parse_metadata(given)
        encoded = msgspec.json.encode(metadata)
        client_id = await self._db.run(self._add, self._randomness.token(16), encoded)
        return client_id, metadata

    async def load(self, client_id: str) -> ClientMetadata:
        """A client's metadata.

        Raises:
            OAuthError: there is no such client.
        """
        encoded = None if "\0" in client_id else await self._db.read(oauth.find_client, client_id)
        if encoded is None:
            raise OAuthError("invalid_client", "unknown client_id", status=401)
        return msgspec.json.decode(encoded, type=ClientMetadata)

    def _add(self, txn: Transaction, client_id: str, encoded: bytes) -> str:
        now_ms = self._clock.now_ms()
        oauth.delete_idle_clients(txn, now_ms - IDLE_MS)
        digest = hashlib.sha256(encoded).digest()
        return oauth.add_client(txn, client_id, digest, encoded, now_ms=now_ms)
