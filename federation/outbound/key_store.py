"""The keys of other servers, in memory and in the database.

Spec: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from federation.wire.keys import KnownKey, ServerKeys, known_keys
from homeserver.events.canonical_json import decode_json, encode_canonical
from homeserver.ids import ServerName
from storage import server_keys as rows
from storage.database import Database
from storage.transaction import Transaction

CACHED_SERVERS = 20_000

KeysOfServer = Mapping[str, KnownKey]


class KeyStore:
    """Remembers keys. What a server says of itself replaces what was known; a notary's older word does not."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: OrderedDict[ServerName, dict[str, KnownKey]] = OrderedDict()

    async def find(self, servers: Collection[ServerName]) -> dict[ServerName, KeysOfServer]:
        """The keys that are known of each server, by key ID."""
        missing = [server for server in servers if server not in self._cache]
        if missing:
            found: dict[ServerName, dict[str, KnownKey]] = {server: {} for server in missing}
            for row in await self._db.read(rows.of_servers, missing):
                found[ServerName(row.server)][row.key_id] = _known(row)
            for server, keys in found.items():
                # A fetch may have ended meanwhile; what it brought is newer.
                self._cache.setdefault(server, keys)
        result: dict[ServerName, KeysOfServer] = {}
        for server in servers:
            result[server] = self._cache[server]
            self._cache.move_to_end(server)
        while len(self._cache) > CACHED_SERVERS:
            self._cache.popitem(last=False)
        return result

    async def save(self, answers: Iterable[ServerKeys], *, fetched_ms: int, by_owner: bool) -> None:
        """Keep the keys of these answers; `by_owner` says that each server answered itself."""
        kept = list(answers)
        if not kept:
            return
        saved = await self._db.run(_save, kept, fetched_ms, by_owner=by_owner)
        for server, keys in saved.items():
            cached = self._cache.get(server)
            if cached is not None:
                cached.update(keys)

    async def find_answers(self, server: ServerName, key_ids: Collection[str]) -> list[dict[str, Any]]:
        """The signed answers that hold these keys, or all keys of the server, for a notary to pass on."""
        return [decode_json(answer) for answer in await self._db.read(rows.answers, server, key_ids)]


def _save(
    txn: Transaction, answers: list[ServerKeys], fetched_ms: int, *, by_owner: bool
) -> dict[ServerName, dict[str, KnownKey]]:
    present = {
        (row.server, row.key_id): row
        for row in rows.of_servers(txn, [answer.server_name for answer in answers])
    }
    saved: dict[ServerName, dict[str, KnownKey]] = {}
    for answer in answers:
        raw = encode_canonical(answer.raw, strict=False)
        for key in known_keys(answer, fetched_ms=fetched_ms):
            before = present.get((answer.server_name, key.key_id))
            if before is not None and not by_owner and before.answer_until_ms > answer.valid_until_ms:
                continue
            row = rows.KeyRow(
                answer.server_name,
                key.key_id,
                key.public,
                key.valid_until_ms,
                key.is_old,
                fetched_ms,
                answer.valid_until_ms,
            )
            rows.save(txn, row, raw)
            saved.setdefault(answer.server_name, {})[key.key_id] = key
    return saved


def _known(row: rows.KeyRow) -> KnownKey:
    return KnownKey(row.key_id, row.public_key, row.valid_until_ms, row.is_old, row.fetched_ms)
