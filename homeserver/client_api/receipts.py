"""Receipts, read markers and typing. Spec: https://spec.matrix.org/v1.19/client-server-api/#receipts"""

from __future__ import annotations

from typing import Literal

import msgspec

from homeserver.errors import Forbidden
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.read_markers import ReadMarkers
from homeserver.rooms.typing import Typing


class ReceiptBody(msgspec.Struct):
    thread_id: str | None = None


class ReadMarkersBody(
    msgspec.Struct, rename={"fully_read": "m.fully_read", "read": "m.read", "read_private": "m.read.private"}
):
    fully_read: EventID | None = None
    read: EventID | None = None
    read_private: EventID | None = None


class TypingBody(msgspec.Struct):
    """`timeout` in ms."""

    typing: bool
    timeout: int = 30_000


class ReceiptEndpoints:
    """Serves what tells others, and one's other devices, where one is."""

    def __init__(self, access: RoomAccess, markers: ReadMarkers, typing: Typing) -> None:
        self._access = access
        self._markers = markers
        self._typing = typing

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
        rate_limit=RateLimit("receipts"),
        guests=True,
    )
    async def post_receipt(
        self,
        who: Requester,
        room_id: RoomID,
        receipt_type: Literal["m.read", "m.read.private", "m.fully_read"],
        event_id: EventID,
        body: ReceiptBody,
    ) -> Empty:
        """Say that one has read up to an event.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid
        """
        await self._access.joined(room_id, who.user_id)
        await self._markers.set(room_id, who.user_id, {receipt_type: event_id}, thread_id=body.thread_id)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{room_id}/read_markers",
        rate_limit=RateLimit("receipts"),
        guests=True,
    )
    async def set_read_marker(self, who: Requester, room_id: RoomID, body: ReadMarkersBody) -> Empty:
        """Set the read marker, and receipts with it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidread_markers
        """
        await self._access.joined(room_id, who.user_id)
        wanted = {"m.fully_read": body.fully_read, "m.read": body.read, "m.read.private": body.read_private}
        await self._markers.set(
            room_id, who.user_id, {kind: event for kind, event in wanted.items() if event}
        )
        return Empty()

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/typing/{user_id}",
        rate_limit=RateLimit("typing"),
        guests=True,
    )
    async def set_typing(self, who: Requester, room_id: RoomID, user_id: UserID, body: TypingBody) -> Empty:
        """Tell the room that the user has begun or stopped typing.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid
        """
        if who.user_id != user_id:
            raise Forbidden("you can only set your own typing state")
        await self._access.joined(room_id, user_id)
        await self._typing.set_typing(room_id, user_id, typing=body.typing, timeout_ms=body.timeout)
        return Empty()
