"""How followers hear of what has been committed: one log with one position, and an ephemeral one beside it.

Entries are announced on the reactor thread, after their commit and in log order; `position` is that of the
last entry announced, so a reader at `position` finds everything up to it in the database. The ephemeral
counter lives in memory only and starts again with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import structlog
from twisted.internet.defer import Deferred

_log = structlog.get_logger(__name__)


class LogKind(IntEnum):
    """What a row of the log tells of. The numbers are stored: never reuse one."""

    EVENT = 1
    RECEIPT = 2
    ACCOUNT_DATA = 3
    ROOM_ACCOUNT_DATA = 4
    TO_DEVICE = 5
    DEVICE_LIST = 6
    PUSH_RULES = 7
    CROSS_SIGNING = 8
    VISIBILITY = 9
    """Events were hidden from, or cleared for, one user."""
    PROFILE = 10
    PRESENCE_STATUS = 11
    THREAD_SUBSCRIPTION = 12
    DEVICE_KEYS_COUNT = 13
    ROOM_STATE = 14
    """State resolution changed a room's current state without an event of its own."""
    REDACTION = 15
    SESSION = 16
    """Sessions of a user ended, or their account's flags changed."""
    DELIVERY = 18
    """A message has reached a device of a reader: `user_id` is its sender, `ref` the reader."""
    DIRECTORY = 20
    """A room was put into the list of published rooms, or taken out."""
    FEDERATION_EDU = 17
    """A message is owed to other servers; the payload names them."""
    HISTORY = 19
    """A room has got events from before what it had."""


@dataclass(slots=True)
class LogEntry:
    """A row of the log. `ref` names its subject (an event ID, a type, a device ID).

    `payload` lives in memory only and is None for entries that are read back from the database.
    """

    position: int
    kind: LogKind
    room_id: str | None
    user_id: str | None
    ref: str
    payload: Any = None


Listener = Callable[[Sequence[LogEntry]], None]
EphemeralListener = Callable[[str, str | None, str | None, int], None]
"""Called with the kind ("typing", "presence"), the room ID, the user ID and the ephemeral position."""


class Notifier:
    """Tells listeners of committed log entries, and of ephemeral changes."""

    __slots__ = ("_ephemeral_listeners", "_listeners", "_waiters", "ephemeral", "position")

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.ephemeral = 0
        self._listeners: tuple[Listener, ...] = ()
        self._ephemeral_listeners: tuple[EphemeralListener, ...] = ()
        self._waiters: list[tuple[int, Deferred[int]]] = []

    def subscribe(self, fn: Listener) -> Callable[[], None]:
        """Call `fn` with every batch of entries from now on; what is returned ends that.

        `fn` must be cheap and not raise: it stands between a commit and its answer.
        """
        self._listeners = (*self._listeners, fn)

        def unsubscribe() -> None:
            self._listeners = tuple(listener for listener in self._listeners if listener is not fn)

        return unsubscribe

    def subscribe_ephemeral(self, fn: EphemeralListener) -> Callable[[], None]:
        """Call `fn` with every ephemeral change from now on; what is returned ends that."""
        self._ephemeral_listeners = (*self._ephemeral_listeners, fn)

        def unsubscribe() -> None:
            self._ephemeral_listeners = tuple(other for other in self._ephemeral_listeners if other is not fn)

        return unsubscribe

    def announce(self, entries: Sequence[LogEntry]) -> None:
        """Tell of entries that have just been committed, in log order."""
        if not entries:
            return
        self.position = entries[-1].position
        for listener in self._listeners:
            try:
                listener(entries)
            except Exception:  # noqa: BLE001  # the other listeners, and whoever waits for the commit, are blameless
                _log.exception("a listener of the log failed", listener=_name(listener))
        self._wake()

    def start_at(self, position: int) -> None:
        """Begin at `position`: the database has everything up to it, and nobody needs to be told."""
        self.position = position
        self._wake()

    def announce_ephemeral(self, kind: str, room_id: str | None, user_id: str | None) -> int:
        """Tell of a change that is not stored; its ephemeral position is returned."""
        self.ephemeral += 1
        position = self.ephemeral
        for listener in self._ephemeral_listeners:
            try:
                listener(kind, room_id, user_id, position)
            except Exception:  # noqa: BLE001  # the other listeners are blameless
                _log.exception("an ephemeral listener failed", listener=_name(listener))
        return position

    async def wait_past(self, position: int) -> int:
        """Wait until something after `position` has been announced; the position then is returned."""
        if self.position > position:
            return self.position
        waiting: Deferred[int] = Deferred(self._forget)
        self._waiters.append((position, waiting))
        return await waiting

    def _wake(self) -> None:
        if not self._waiters:
            return
        ready = [waiting for position, waiting in self._waiters if position < self.position]
        self._waiters = [pair for pair in self._waiters if pair[0] >= self.position]
        for waiting in ready:
            waiting.callback(self.position)

    def _forget(self, cancelled: Deferred[int]) -> None:
        self._waiters = [pair for pair in self._waiters if pair[1] is not cancelled]


def _name(listener: Callable[..., object]) -> str:
    return getattr(listener, "__qualname__", repr(listener))
