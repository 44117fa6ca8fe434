"""The signing keys of other servers, with the answers that they came in."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from storage.transaction import Transaction


class KeyRow(NamedTuple):
    """A key as `federation.wire.keys.KnownKey` has it; `answer_until_ms` is its answer's `valid_until_ts`."""

    server: str
    key_id: str
    public_key: bytes
    valid_until_ms: int
    is_old: bool
    fetched_ms: int
    answer_until_ms: int


_COLUMNS = (
    "server",
    "key_id",
    "public_key",
    "valid_until_ms",
    "is_old",
    "fetched_ms",
    "answer_until_ms",
    "answer",
)
_BATCH = 500


def save(txn: Transaction, row: KeyRow, answer: bytes) -> None:
    """Keep the key; it replaces what was known under its ID."""
    txn.put("server_keys", _COLUMNS, (*row[:4], int(row.is_old), *row[5:], answer), ("server", "key_id"))


def of_servers(txn: Transaction, servers: Collection[str]) -> list[KeyRow]:
    """Every key that is known of these servers."""
    wanted = list(servers)
    found: list[KeyRow] = []
    for first in range(0, len(wanted), _BATCH):
        chunk = wanted[first : first + _BATCH]
        marks = ", ".join("?" * len(chunk))
        rows = txn.all(
            "SELECT server, key_id, public_key, valid_until_ms, is_old, fetched_ms, answer_until_ms"
            f" FROM server_keys WHERE server IN ({marks})",
            *chunk,
        )
        found.extend(
            KeyRow(str(r[0]), str(r[1]), bytes(r[2]), int(r[3]), bool(r[4]), int(r[5]), int(r[6]))
            for r in rows
        )
    return found


def answers(txn: Transaction, server: str, key_ids: Collection[str]) -> list[bytes]:
    """The signed answers that hold these keys of the server, each once; without key IDs, those of all keys."""
    rows = txn.all(
        "SELECT key_id, answer FROM server_keys WHERE server = ? ORDER BY answer_until_ms DESC", server
    )
    wanted = set(key_ids)
    return list(dict.fromkeys(bytes(answer) for key_id, answer in rows if not wanted or key_id in wanted))
