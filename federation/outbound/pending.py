"""What one server is to be told next, in memory: events in order, and ephemeral messages of which the newest count."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from federation.wire.edus import PRESENCE, RECEIPT, TYPING, UserPresence, receipt_content, typing_content
from federation.wire.transactions import encode_edu
from homeserver.ids import EventID, RoomID, UserID

RECEIPTS_PER_EDU = 500
PRESENCES_PER_EDU = 50


class OutgoingEvent(NamedTuple):
    """An event at its log position, as it is sent."""

    position: int
    event_id: EventID
    json: bytes


class Pending:
    """The queue of one server."""

    def __init__(self) -> None:
        self.events: deque[OutgoingEvent] = deque()
        self._receipts: dict[str | None, dict[RoomID, dict[UserID, tuple[EventID, int]]]] = {}
        self._typing: dict[tuple[RoomID, UserID], bool] = {}
        self._presence: dict[str, UserPresence] = {}

    def __bool__(self) -> bool:
        return bool(self.events or self._receipts or self._typing or self._presence)

    def add_receipt(
        self, room_id: RoomID, user_id: UserID, event_id: EventID, ts: int, thread_id: str | None
    ) -> None:
        self._receipts.setdefault(thread_id, {}).setdefault(room_id, {})[user_id] = (event_id, ts)

    def set_typing(self, room_id: RoomID, user_id: UserID, *, typing: bool) -> None:
        self._typing[room_id, user_id] = typing

    def set_presence(self, presence: UserPresence) -> None:
        self._presence[presence.user_id] = presence

    def forget_passing(self) -> None:
        """The server is away: when it is back, who was typing and who was online is no news."""
        self._typing.clear()
        self._presence.clear()

    def take_events(self, limit: int) -> list[OutgoingEvent]:
        """The oldest events, which leave the queue."""
        return [self.events.popleft() for _ in range(min(limit, len(self.events)))]

    def take_edus(self, limit: int) -> list[bytes]:
        """Up to `limit` EDUs, which leave the queue."""
        edus: list[bytes] = []
        while self._receipts and len(edus) < limit:
            edus.append(self._take_receipts())
        while self._typing and len(edus) < limit:
            room_id, user_id = next(iter(self._typing))
            typing = self._typing.pop((room_id, user_id))
            edus.append(encode_edu(TYPING, typing_content(room_id, user_id, typing=typing)))
        while self._presence and len(edus) < limit:
            users = list(self._presence)[:PRESENCES_PER_EDU]
            push = [self._presence.pop(user) for user in users]
            edus.append(encode_edu(PRESENCE, {"push": [_presence(one) for one in push]}))
        return edus

    def _take_receipts(self) -> bytes:
        """One EDU with receipts of one thread in as many rooms as fit."""
        thread_id = next(iter(self._receipts))
        rooms = self._receipts[thread_id]
        content: dict[str, object] = {}
        count = 0
        while rooms and count < RECEIPTS_PER_EDU:
            room_id = next(iter(rooms))
            of_room = rooms.pop(room_id)
            count += len(of_room)
            content.update(
                receipt_content(
                    room_id,
                    ((user_id, event_id, ts, thread_id) for user_id, (event_id, ts) in of_room.items()),
                )
            )
        if not rooms:
            del self._receipts[thread_id]
        return encode_edu(RECEIPT, content)


def _presence(one: UserPresence) -> dict[str, object]:
    content: dict[str, object] = {
        "user_id": one.user_id,
        "presence": one.presence,
        "currently_active": one.currently_active,
    }
    if one.last_active_ago is not None:
        content["last_active_ago"] = one.last_active_ago
    if one.status_msg is not None:
        content["status_msg"] = one.status_msg
    return content
