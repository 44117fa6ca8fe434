"""Asking other servers for events and state.

Events come as plain objects: whoever asked judges each by its room's version.
Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from federation.outbound.handshakes import MAX_JOIN_BYTES
from federation.outbound.requests import SignedRequests, path, with_query
from federation.wire.answers import (
    AuthChain,
    EventByTimestamp,
    Hierarchy,
    MissingEvents,
    Pdus,
    RoomState,
    RoomStateIds,
)
from federation.wire.transactions import TransactionResult
from homeserver.ids import EventID, RoomID, ServerName

MAX_EVENTS_BYTES = 50 * 1024 * 1024
STATE_TIMEOUT_MS = 180_000


class History:
    """Transactions to servers, and questions about rooms' events."""

    def __init__(self, requests: SignedRequests) -> None:
        self._requests = requests

    async def send_transaction(self, server: ServerName, txn_id: str, body: bytes) -> TransactionResult:
        """Push a transaction (see `encode_transaction`); gives what became of each PDU."""
        return await self._requests.put(
            server, path("federation/v1/send", txn_id), body, TransactionResult, patient=True
        )

    async def get_missing_events(
        self,
        server: ServerName,
        room_id: RoomID,
        *,
        earliest: Iterable[EventID],
        latest: Iterable[EventID],
        limit: int = 10,
        min_depth: int = 0,
    ) -> list[Any]:
        """The events between `earliest` and `latest`, as far as the server has them."""
        content = {
            "earliest_events": list(earliest),
            "latest_events": list(latest),
            "limit": limit,
            "min_depth": min_depth,
        }
        uri = path("federation/v1/get_missing_events", room_id)
        answer = await self._requests.put(
            server, uri, content, MissingEvents, method="POST", max_bytes=MAX_EVENTS_BYTES
        )
        return answer.events

    async def backfill(
        self, server: ServerName, room_id: RoomID, events: Sequence[EventID], limit: int
    ) -> list[Any]:
        """Up to `limit` events at and before `events`."""
        uri = with_query(path("federation/v1/backfill", room_id), {"v": events, "limit": limit})
        return (await self._requests.get(server, uri, Pdus, max_bytes=MAX_EVENTS_BYTES)).pdus

    async def get_event(self, server: ServerName, event_id: EventID) -> Any:
        """One event; None if the answer holds none."""
        answer = await self._requests.get(server, path("federation/v1/event", event_id), Pdus)
        return answer.pdus[0] if answer.pdus else None

    async def get_event_auth(self, server: ServerName, room_id: RoomID, event_id: EventID) -> list[Any]:
        """The whole auth chain of an event."""
        uri = path("federation/v1/event_auth", room_id, event_id)
        return (await self._requests.get(server, uri, AuthChain, max_bytes=MAX_EVENTS_BYTES)).auth_chain

    async def get_room_state(self, server: ServerName, room_id: RoomID, event_id: EventID) -> RoomState:
        """The state before an event, with its auth chain."""
        uri = with_query(path("federation/v1/state", room_id), {"event_id": event_id})
        return await self._requests.get(
            server, uri, RoomState, max_bytes=MAX_JOIN_BYTES, timeout_ms=STATE_TIMEOUT_MS
        )

    async def get_room_state_ids(
        self, server: ServerName, room_id: RoomID, event_id: EventID
    ) -> RoomStateIds:
        """The event IDs of the state before an event, and of its auth chain."""
        uri = with_query(path("federation/v1/state_ids", room_id), {"event_id": event_id})
        return await self._requests.get(
            server, uri, RoomStateIds, max_bytes=MAX_EVENTS_BYTES, timeout_ms=STATE_TIMEOUT_MS
        )

    async def get_event_by_timestamp(
        self, server: ServerName, room_id: RoomID, ts: int, direction: Literal["f", "b"]
    ) -> EventByTimestamp:
        """The event that the server has closest to a time, forwards or backwards of it."""
        uri = with_query(path("federation/v1/timestamp_to_event", room_id), {"ts": ts, "dir": direction})
        return await self._requests.get(server, uri, EventByTimestamp)

    async def get_space_hierarchy(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> Hierarchy:
        """A room of a space and its children."""
        uri = with_query(path("federation/v1/hierarchy", room_id), {"suggested_only": suggested_only})
        return await self._requests.get(server, uri, Hierarchy)
