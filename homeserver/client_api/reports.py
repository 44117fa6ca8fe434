"""Reporting events, rooms and users.

Spec: https://spec.matrix.org/v1.19/client-server-api/#reporting-content
"""

from __future__ import annotations

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.reports import Reports

_LIMIT = RateLimit("reports")


class Complaint(msgspec.Struct):
    """Why."""

    reason: str | None = None
    score: int | None = None


class ReportEndpoints:
    """Takes complaints."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/report/{event_id}", rate_limit=_LIMIT)
    async def report_event(
        self, who: Requester, room_id: RoomID, event_id: EventID, body: Complaint
    ) -> Empty:
        """Report an event.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreporteventid
        """
        await self._reports.report_event(who.user_id, room_id, event_id, body.reason, body.score)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{room_id}/report",
        rate_limit=_LIMIT,
        aliases=("/_matrix/client/unstable/org.matrix.msc4151/rooms/{room_id}/report",),
    )
    async def report_room(self, who: Requester, room_id: RoomID, body: Complaint) -> Empty:
        """Report a room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidreport
        """
        await self._reports.report_room(who.user_id, room_id, body.reason)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/users/{user_id}/report",
        rate_limit=_LIMIT,
        aliases=("/_matrix/client/unstable/org.matrix.msc4260/users/{user_id}/report",),
    )
    async def report_user(self, who: Requester, user_id: UserID, body: Complaint) -> Empty:
        """Report a user.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3usersuseridreport
        """
        await self._reports.report_user(who.user_id, user_id, body.reason)
        return Empty()
