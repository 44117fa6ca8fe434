"""Typing notifications: who is writing in which room, for as long as they said.

Spec: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
"""

from __future__ import annotations

from collections.abc import Callable

from homeserver.ids import RoomID, UserID
from homeserver.rooms.invisible import IsInvisible, nobody
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import Notifier

MAX_TIMEOUT_MS = 120_000
TOLD_AGAIN_S = 40.0
"""Whoever goes on typing is told of again: other servers forget it after a minute."""


class Typing:
    """Keeps who is typing, and ends it when their time is up."""

    def __init__(
        self, rooms: Rooms, notifier: Notifier, clock: Clock, is_invisible: IsInvisible = nobody
    ) -> None:
        self._is_invisible = is_invisible
        self._rooms = rooms
        self._notifier = notifier
        self._clock = clock
        self._timers: dict[tuple[RoomID, UserID], Timer] = {}
        self._again: dict[tuple[RoomID, UserID], Timer] = {}
        self._listeners: list[Callable[[RoomID, UserID, bool], None]] = []

    def subscribe(self, listener: Callable[[RoomID, UserID, bool], None]) -> None:
        """Be told of every local change: the federation sender passes it on."""
        self._listeners.append(listener)

    async def set_typing(
        self,
        room_id: RoomID,
        user_id: UserID,
        *,
        typing: bool,
        timeout_ms: int = 30_000,
        remote: bool = False,
    ) -> None:
        """The user has begun (or goes on) typing, or has stopped."""
        if typing and not remote and self._is_invisible(user_id):
            return
        room = await self._rooms.load(room_id)
        timer = self._timers.pop((room_id, user_id), None)
        if timer is not None and timer.active():
            timer.cancel()
        changed = typing != (user_id in room.typing)
        if typing:
            timeout_ms = min(max(timeout_ms, 1), MAX_TIMEOUT_MS)
            room.typing[user_id] = self._clock.now_ms() + timeout_ms
            self._timers[room_id, user_id] = self._clock.call_later(
                timeout_ms / 1000, self._expire, room, user_id, remote=remote
            )
        else:
            room.typing.pop(user_id, None)
        if changed:
            self._announce(room, user_id, remote=remote)

    def left(self, room: LiveRoom, user_id: UserID) -> None:
        """Whoever leaves a room types there no more."""
        if room.typing.pop(user_id, None) is not None:
            self._announce(room, user_id, remote=False)

    def _expire(self, room: LiveRoom, user_id: UserID, *, remote: bool) -> None:
        self._timers.pop((room.room_id, user_id), None)
        if room.typing.pop(user_id, None) is not None:
            self._announce(room, user_id, remote=remote)

    def _announce(self, room: LiveRoom, user_id: UserID, *, remote: bool) -> None:
        # The position is set before anybody is woken by it.
        room.typing_position = self._notifier.ephemeral + 1
        self._notifier.announce_ephemeral("typing", room.room_id, user_id)
        if not remote:
            self._tell(room, user_id)

    def _tell(self, room: LiveRoom, user_id: UserID) -> None:
        is_typing = user_id in room.typing
        for listener in self._listeners:
            listener(room.room_id, user_id, is_typing)
        timer = self._again.pop((room.room_id, user_id), None)
        if timer is not None and timer.active():
            timer.cancel()
        if is_typing:
            self._again[room.room_id, user_id] = self._clock.call_later(
                TOLD_AGAIN_S, self._tell, room, user_id
            )
