"""Delayed events, in the three generations that clients use.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4140
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID
from homeserver.rooms.delayed import DelayedEvents
from storage.delayed_events import SCHEDULED, DelayedRow

UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140"
Action = Literal["send", "cancel", "restart"]


class DelayedEventBody(msgspec.Struct):
    delay_ms: int
    content: dict[str, Any]
    state_key: str | None = None


class ActionBody(msgspec.Struct):
    action: Action


class Delayed(msgspec.Struct):
    delay_id: str


class DelayedEventEndpoints:
    """Serves what schedules, shows and changes delayed events."""

    def __init__(self, delayed: DelayedEvents) -> None:
        self._delayed = delayed

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/delayed_event/{event_type}/{txn_id}",
        rate_limit=RateLimit("message"),
        guests=True,
        suspended=False,
        aliases=(f"{UNSTABLE}/rooms/{{room_id}}/delayed_event/{{event_type}}/{{txn_id}}",),
    )
    async def schedule_delayed_event(
        self, who: Requester, room_id: RoomID, event_type: str, txn_id: str, body: DelayedEventBody
    ) -> Delayed:
        """Have an event sent later.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        return Delayed(
            await self._delayed.schedule(
                room_id,
                who.user_id,
                who.device_id,
                event_type,
                body.content,
                delay_ms=body.delay_ms,
                state_key=body.state_key,
                txn_id=txn_id,
            )
        )

    @endpoint(
        "POST",
        f"{UNSTABLE}/delayed_events/{{delay_id}}",
        rate_limit=RateLimit("delayed_event_mgmt"),
        guests=True,
    )
    async def update_delayed_event(self, who: Requester, delay_id: str, body: ActionBody) -> Empty:
        """Act on a delayed event, as older clients ask.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        await self._delayed.act(who.user_id, delay_id, body.action)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v1/delayed_events/{delay_id}/{action}",
        rate_limit=RateLimit("delayed_event_mgmt"),
        guests=True,
        aliases=(f"{UNSTABLE}/delayed_events/{{delay_id}}/{{action}}",),
    )
    async def act_on_delayed_event(self, who: Requester, delay_id: str, action: Action) -> Empty:
        """Send a delayed event now, cancel it, or start its delay anew.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        await self._delayed.act(who.user_id, delay_id, action)
        return Empty()

    @endpoint(
        "GET",
        "/_matrix/client/v1/delayed_events",
        guests=True,
        aliases=(f"{UNSTABLE}/delayed_events", f"{UNSTABLE}/delayed_events/scheduled"),
    )
    async def list_delayed_events(self, who: Requester) -> dict[str, Any]:
        """The user's delayed events that wait.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        found = await self._delayed.list(who.user_id)
        return {"delayed_events": [_shown(row) for row in found if row.state == SCHEDULED]}

    @endpoint("GET", f"{UNSTABLE}/delayed_events/finalised", guests=True)
    async def list_finalised_delayed_events(self, who: Requester) -> dict[str, Any]:
        """The user's delayed events that have ended.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        found = await self._delayed.list(who.user_id)
        return {"finalised_events": [_shown(row) for row in found if row.state != SCHEDULED]}

    @endpoint(
        "GET",
        "/_matrix/client/v1/delayed_events/{delay_id}",
        guests=True,
        aliases=(f"{UNSTABLE}/delayed_events/{{delay_id}}",),
    )
    async def get_delayed_event(self, who: Requester, delay_id: str) -> dict[str, Any]:
        """One delayed event, and what became of it.

        Spec: https://spec.matrix.org/unstable/ (MSC4140)
        """
        return _shown(await self._delayed.load(who.user_id, delay_id))


def _shown(row: DelayedRow) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "delay_id": row.delay_id,
        "room_id": row.room_id,
        "type": row.type,
        "content": msgspec.Raw(row.content),
        "delay": row.delay_ms,
        "delay_ms": row.delay_ms,
        "running_since": row.running_since_ms,
        "scheduled_at": row.running_since_ms,
    }
    if row.state_key is not None:
        shown["state_key"] = row.state_key
    if row.state != SCHEDULED:
        shown["outcome"] = "cancel" if row.state == "cancelled" else "send"
        shown["finalised_ts"] = row.finalised_ms
    if row.event_id is not None:
        shown["event_id"] = row.event_id
    if row.error is not None:
        shown["error"] = msgspec.Raw(row.error)
    return shown
