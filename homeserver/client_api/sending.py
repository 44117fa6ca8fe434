"""Sending events and setting state. Spec: https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam, NotFound
from homeserver.events.client_format import client_event
from homeserver.events.event import Event
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.ids import EventID, RoomID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.delayed import DelayedEvents
from homeserver.rooms.sending import Sending
from homeserver.rooms.timeline import TransactionId


class SentEvent(msgspec.Struct):
    event_id: EventID


class Delayed(msgspec.Struct):
    delay_id: str


class SendQuery(msgspec.Struct, rename={"delay": "org.matrix.msc4140.delay"}):
    """`ts` lets an application service say when the event happened, `delay` has it sent later (both ms)."""

    ts: int | None = None
    delay: int | None = None


class StateQuery(msgspec.Struct):
    format: Literal["content", "event"] = "content"


class RedactBody(msgspec.Struct):
    reason: str | None = None


MAX_TXN_ID = 255


def transaction_of(who: Requester, txn_id: str) -> TransactionId:
    """
    Raises:
        InvalidParam: the ID is longer than any client makes one.
    """
    if len(txn_id) > MAX_TXN_ID:
        raise InvalidParam(f"a transaction ID has at most {MAX_TXN_ID} characters")
    return TransactionId(who.user_id, who.device_id, txn_id)


class SendingEndpoints:
    """Serves what puts events into rooms."""

    def __init__(self, sending: Sending, access: RoomAccess, delayed: DelayedEvents) -> None:
        self._sending = sending
        self._delayed = delayed
        self._access = access

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}",
        rate_limit=RateLimit("message"),
        guests=True,
        suspended=False,
    )
    async def send_message(
        self,
        who: Requester,
        room_id: RoomID,
        event_type: str,
        txn_id: str,
        body: dict[str, Any],
        query: SendQuery,
    ) -> SentEvent | Delayed:
        """Send a message event; a repeated transaction ID sends nothing twice.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
        """
        if query.delay is not None:
            return await self._delay(who, room_id, event_type, body, query.delay, txn_id=txn_id)
        ts = query.ts if who.appservice_id is not None else None
        return SentEvent(
            await self._sending.message(
                room_id, who.user_id, event_type, body, transaction=transaction_of(who, txn_id), ts=ts
            )
        )

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key...}",
        rate_limit=RateLimit("message"),
        guests=True,
        suspended=False,
        aliases=("/_matrix/client/v3/rooms/{room_id}/state/{event_type}",),
    )
    async def set_room_state_with_key(
        self,
        who: Requester,
        room_id: RoomID,
        event_type: str,
        body: dict[str, Any],
        query: SendQuery,
        state_key: str = "",
    ) -> SentEvent | Delayed:
        """Set one entry of the room's state; what is so already is not sent again.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
        """
        if query.delay is not None:
            return await self._delay(who, room_id, event_type, body, query.delay, state_key=state_key)
        ts = query.ts if who.appservice_id is not None else None
        return SentEvent(await self._sending.state(room_id, who.user_id, event_type, state_key, body, ts=ts))

    async def _delay(
        self,
        who: Requester,
        room_id: RoomID,
        event_type: str,
        content: dict[str, Any],
        delay_ms: int,
        *,
        state_key: str | None = None,
        txn_id: str | None = None,
    ) -> Delayed:
        """What older clients ask by a query parameter (MSC4140)."""
        return Delayed(
            await self._delayed.schedule(
                room_id,
                who.user_id,
                who.device_id,
                event_type,
                content,
                delay_ms=delay_ms,
                state_key=state_key,
                txn_id=txn_id,
            )
        )

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/state", guests=True)
    async def get_room_state(self, who: Requester, room_id: RoomID) -> list[dict[str, Any]]:
        """The room's whole state, as it is now or was when the user left.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
        """
        sight = await self._access.sight(room_id, who.user_id)
        return [client_event(event) for event in sight.state.values()]

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key...}",
        guests=True,
        aliases=("/_matrix/client/v3/rooms/{room_id}/state/{event_type}",),
    )
    async def get_room_state_with_key(
        self, who: Requester, room_id: RoomID, event_type: str, query: StateQuery, state_key: str = ""
    ) -> dict[str, Any]:
        """One entry of the room's state: its content, or the whole event.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey
        """
        sight = await self._access.sight(room_id, who.user_id)
        event: Event | None = sight.state.get((event_type, state_key))
        if event is None:
            raise NotFound(f"the room has no state {event_type!r} with key {state_key!r}")
        return client_event(event) if query.format == "event" else event.content

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}",
        rate_limit=RateLimit("redaction"),
        guests=True,
        suspended=False,
    )
    async def redact_event(
        self, who: Requester, room_id: RoomID, event_id: EventID, txn_id: str, body: RedactBody
    ) -> SentEvent:
        """Take the content of an event away from everybody.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid
        """
        content = {} if body.reason is None else {"reason": body.reason}
        return SentEvent(
            await self._sending.redaction(
                room_id, who.user_id, event_id, content, transaction=transaction_of(who, txn_id)
            )
        )
