"""Transactions: the envelopes in which servers push events and ephemeral messages to one another.

Spec: https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from homeserver.errors import BadJson
from homeserver.events.canonical_json import encode_canonical
from homeserver.ids import ServerName

MAX_PDUS = 50
MAX_EDUS = 100
MAX_TRANSACTION_BYTES = 16 * 1024 * 1024
"""50 events of 64 KiB, all escaped, and 100 messages beside them."""


class Edu(msgspec.Struct, frozen=True):
    """An ephemeral message between servers."""

    edu_type: str
    content: dict[str, Any]


class Transaction(msgspec.Struct):
    """What `PUT /send` brings. PDUs stay plain objects: each is judged by its own room's version."""

    origin: str = ""
    origin_server_ts: int = 0
    pdus: list[Any] = []
    edus: list[Any] = []


class PduResult(msgspec.Struct, omit_defaults=True):
    """What became of one PDU; without an error it was handled."""

    error: str | None = None


class TransactionResult(msgspec.Struct):
    """The answer to a transaction: what became of each PDU, by event ID."""

    pdus: dict[str, PduResult] = {}


def check_limits(transaction: Transaction, origin: ServerName) -> None:
    """Whether the transaction is of the size that the specification allows and says itself who sent it.

    Raises:
        BadJson: it does not.
    """
    if len(transaction.pdus) > MAX_PDUS:
        raise BadJson(f"a transaction has at most {MAX_PDUS} PDUs, not {len(transaction.pdus)}")
    if len(transaction.edus) > MAX_EDUS:
        raise BadJson(f"a transaction has at most {MAX_EDUS} EDUs, not {len(transaction.edus)}")
    if transaction.origin and transaction.origin != origin:
        raise BadJson(f"{origin} signed a transaction of {transaction.origin}")


def parse_edu(value: object) -> Edu | None:
    """An EDU of a transaction; None if it is malformed, which spoils nothing else."""
    try:
        return msgspec.convert(value, Edu)
    except msgspec.ValidationError:
        return None


def encode_edu(edu_type: str, content: dict[str, Any]) -> bytes:
    """An EDU's canonical JSON."""
    return encode_canonical({"content": content, "edu_type": edu_type}, strict=False)


def encode_transaction(
    origin: ServerName, origin_server_ts: int, *, pdus: Iterable[bytes], edus: Sequence[bytes]
) -> bytes:
    """A transaction's canonical JSON, from the canonical JSON of what is in it."""
    head = b'{"edus":[%b],' % b",".join(edus) if edus else b"{"
    return b'%b"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (
        head,
        encode_canonical(origin, strict=False),
        origin_server_ts,
        b",".join(pdus),
    )
