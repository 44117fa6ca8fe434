"""What passes, for a service that wants it: typing, receipts and presence, told once and never again.

Spec: https://spec.matrix.org/v1.19/application-service-api/#pushing-ephemeral-data
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from homeserver.appservices.interest import Interest
from homeserver.ids import RoomID, UserID
from homeserver.presence.states import PresenceState
from homeserver.rooms.receipts import GivenReceipt
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock

MAX_WAITING = 500
"""Things that wait to be told; beyond this the oldest are forgotten, as a service that hangs must not fill memory."""


class PresenceSource(Protocol):
    """Where presence is known."""

    def find(self, user_id: UserID) -> PresenceState | None: ...


class Ephemera:
    """Gathers what has passed since the last transaction."""

    def __init__(self, interest: Interest, rooms: Rooms, presence: PresenceSource, clock: Clock) -> None:
        self._interest = interest
        self._rooms = rooms
        self._presence = presence
        self._clock = clock
        self._typing: dict[RoomID, None] = {}
        self._present: dict[UserID, None] = {}
        self._receipts: dict[tuple[RoomID, UserID, str, str], GivenReceipt] = {}

    def __bool__(self) -> bool:
        return bool(self._typing or self._present or self._receipts)

    def changed(self, kind: str, room_id: str | None, user_id: str | None) -> bool:
        """Something passed; whether the service is to be told."""
        if kind == "typing" and room_id is not None:
            room = self._rooms.find(room_id)
            if room is None or not self._interest.in_room(room):
                return False
            self._typing[RoomID(room_id)] = None
            _keep_newest(self._typing)
            return True
        if kind == "presence" and user_id is not None:
            if not (self._interest.in_user(user_id) or self._interest.shares_room(UserID(user_id))):
                return False
            self._present[UserID(user_id)] = None
            _keep_newest(self._present)
            return True
        return False

    def read(self, receipt: GivenReceipt) -> None:
        """Somebody has read up to an event, in a room that the service hears of."""
        key = (receipt.room_id, receipt.user_id, receipt.receipt_type, receipt.thread_id)
        self._receipts.pop(key, None)
        self._receipts[key] = receipt
        _keep_newest(self._receipts)

    def take(self) -> list[bytes]:
        """What is to be told, as it is now; it is told only once."""
        events: list[dict[str, Any]] = []
        for room_id in self._typing:
            room = self._rooms.find(room_id)
            if room is not None:
                content = {"user_ids": sorted(room.typing)}
                events.append({"type": "m.typing", "room_id": room_id, "content": content})
        by_room: dict[RoomID, dict[str, Any]] = {}
        for receipt in self._receipts.values():
            data: dict[str, Any] = {"ts": receipt.ts}
            if receipt.thread_id:
                data["thread_id"] = receipt.thread_id
            by_type = by_room.setdefault(receipt.room_id, {}).setdefault(receipt.event_id, {})
            by_type.setdefault(receipt.receipt_type, {})[receipt.user_id] = data
        for room_id, content in by_room.items():
            events.append({"type": "m.receipt", "room_id": room_id, "content": content})
        now_ms = self._clock.now_ms()
        for user_id in self._present:
            state = self._presence.find(user_id)
            if state is not None:
                events.append(state.event(user_id, now_ms))
        self._typing.clear()
        self._present.clear()
        self._receipts.clear()
        return [msgspec.json.encode(event) for event in events]


def _keep_newest(waiting: dict[Any, Any]) -> None:
    while len(waiting) > MAX_WAITING:
        del waiting[next(iter(waiting))]
