"""The events that the server itself writes into `/sync`, each held against its own schema.

What users wrote may be anything; what the server wrote may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance.specification import BASE_URI
from tests.conformance.validator import check_schema

SERVER_WRITTEN = ("m.typing", "m.receipt", "m.presence", "m.push_rules", "m.fully_read")


def _server_written(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from answer.get("presence", {}).get("events", ())
    yield from answer.get("account_data", {}).get("events", ())
    for membership in ("join", "leave"):
        for room in answer.get("rooms", {}).get(membership, {}).values():
            yield from room.get("ephemeral", {}).get("events", ())
            yield from room.get("account_data", {}).get("events", ())


def check_sync_events(answer: Mapping[str, Any]) -> None:
    """Raise Nonconforming if an event that the server wrote is not what its type says."""
    for event in _server_written(answer):
        kind = event.get("type")
        if kind in SERVER_WRITTEN:
            check_schema(f"{BASE_URI}event-schemas/schema/{kind}.yaml", event, f"{kind} in /sync")
