"""Ephemeral messages of other servers: each type has somebody who takes it; unknown ones are ignored.

Spec: https://spec.matrix.org/v1.19/server-server-api/#edus
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from federation.wire import edus as wire
from federation.wire.transactions import Edu
from homeserver.errors import HearthError
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of, is_user_id
from homeserver.presence.presence import Presence
from homeserver.presence.states import STATES, PresenceState
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.receipts import Receipts
from homeserver.rooms.registry import Rooms
from homeserver.rooms.typing import Typing
from homeserver.runtime.clock import Clock
from storage import device_lists
from storage.database import Database

_log = structlog.get_logger(__name__)

TYPING_MS = 60_000
"""Whoever types on another server is said so again within this time."""

EduHandler = Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]


class EduHandlers:
    """Who takes which type."""

    def __init__(self, handlers: Mapping[str, EduHandler]) -> None:
        self._handlers = handlers

    async def take(self, origin: ServerName, edus: Iterable[Edu]) -> None:
        """Hand each to whom it is for; one that is malformed spoils no other."""
        for edu in edus:
            handler = self._handlers.get(edu.edu_type)
            if handler is None:
                continue
            try:
                await handler(origin, edu.content)
            except (HearthError, msgspec.ValidationError) as error:
                _log.info("a message is not taken", origin=origin, type=edu.edu_type, reason=str(error))


class PassingEdus:
    """Typing, receipts and presence."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        typing: Typing,
        receipts: Receipts,
        presence: Presence,
        clock: Clock,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._typing = typing
        self._receipts = receipts
        self._presence = presence
        self._clock = clock

    def handlers(self) -> dict[str, EduHandler]:
        return {
            wire.TYPING: self.take_typing,
            wire.RECEIPT: self.take_receipts,
            wire.PRESENCE: self.take_presence,
        }

    async def take_typing(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Spec: https://spec.matrix.org/v1.19/server-server-api/#typing-notifications"""
        edu = msgspec.convert(content, wire.Typing)
        room = await self._room_for(origin, edu.room_id)
        user_id = UserID(edu.user_id)
        if room is None or domain_of(user_id) != origin or not room.is_joined(user_id):
            return
        await self._typing.set_typing(
            room.room_id, user_id, typing=edu.typing, timeout_ms=TYPING_MS, remote=True
        )

    async def take_receipts(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Spec: https://spec.matrix.org/v1.19/server-server-api/#receipts"""
        by_room = msgspec.convert(content, dict[str, wire.RoomReceipts])
        for room_id, receipts in by_room.items():
            room = await self._room_for(origin, room_id)
            if room is None:
                continue
            for name, receipt in receipts.read.items():
                user_id = UserID(name)
                if domain_of(user_id) != origin or not room.is_joined(user_id) or not receipt.event_ids:
                    continue
                await self._receipts.give(
                    room.room_id,
                    user_id,
                    "m.read",
                    EventID(receipt.event_ids[-1]),
                    thread_id=receipt.data.thread_id,
                    ts=receipt.data.ts,
                )

    async def take_presence(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Spec: https://spec.matrix.org/v1.19/server-server-api/#presence"""
        for one in msgspec.convert(content, wire.Presence).push:
            user_id = UserID(one.user_id)
            if not is_user_id(user_id) or domain_of(user_id) != origin or one.presence not in STATES:
                continue
            if not await self._db.read(device_lists.is_shared_with_us, user_id):
                continue
            ago_ms = one.last_active_ago
            self._presence.received(
                user_id,
                PresenceState(
                    one.presence,
                    one.status_msg,
                    0 if ago_ms is None else max(0, self._clock.now_ms() - ago_ms),
                    currently_active=one.currently_active,
                ),
            )

    async def _room_for(self, origin: ServerName, room_id: str) -> LiveRoom | None:
        room = await self._rooms.find_or_load(RoomID(room_id))
        if room is None or not room.local_joined or not is_server_allowed(room, origin):
            return None
        return room
