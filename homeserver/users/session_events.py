"""Sessions end and accounts change: who waits for a device, or remembers what a token may do, hears of it.

The news is a row of the log (kind SESSION), so every process hears of what another one revoked. Its `ref`
says what happened: one device's tokens were revoked, all of the user's were, or what the account may do has
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.errors import AccountEnded, MatrixError, UnknownToken, UserLocked
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage.transaction import Transaction

_ALL_ENDED = "ended"
_LOCKED = "locked"
_GONE = "gone"
_DEVICE_ENDED = "ended:"
_CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What happened: `device_id` is None where it is about all sessions of the user.

    When sessions have ended, polls and sockets of theirs must end with M_UNKNOWN_TOKEN (the authenticator
    says it when asked again); otherwise only what was remembered about the account is out of date.
    """

    user_id: UserID
    device_id: DeviceID | None
    has_ended: bool
    is_locked: bool = False
    is_gone: bool = False

    def refusal(self) -> MatrixError:
        """What whoever waits for such a session is told: a locked account's come back, others do not."""
        if self.is_gone:
            return AccountEnded("this account was deactivated")
        return UserLocked() if self.is_locked else UnknownToken("this session has ended")

    def concerns(self, user_id: UserID, device_id: DeviceID | None) -> bool:
        """Whether it is about this session."""
        return self.user_id == user_id and (self.device_id is None or self.device_id == device_id)


Listener = Callable[[SessionEvent], None]


def log_device_ended(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    """The device's tokens have been revoked."""
    txn.log(LogKind.SESSION, user_id=user_id, ref=_DEVICE_ENDED + device_id)


def log_all_ended(txn: Transaction, user_id: UserID) -> None:
    """Every token of the user has been revoked."""
    txn.log(LogKind.SESSION, user_id=user_id, ref=_ALL_ENDED)


def log_locked(txn: Transaction, user_id: UserID) -> None:
    """No session of the user works until their account is unlocked."""
    txn.log(LogKind.SESSION, user_id=user_id, ref=_LOCKED)


def log_gone(txn: Transaction, user_id: UserID) -> None:
    """Every session of the user has ended, with their account."""
    txn.log(LogKind.SESSION, user_id=user_id, ref=_GONE)


def log_account_changed(txn: Transaction, user_id: UserID) -> None:
    """The account's flags, or single tokens of the user, are not what they were."""
    txn.log(LogKind.SESSION, user_id=user_id, ref=_CHANGED)


class SessionEvents:
    """Tells its subscribers, on the reactor's thread and after the commit."""

    def __init__(self, notifier: Notifier) -> None:
        self._listeners: list[Listener] = []
        notifier.subscribe(self._entries_committed)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; what is returned ends that. It must be cheap and not
        raise.
        """
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def _entries_committed(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.SESSION and entry.user_id is not None:
                event = _parse(UserID(entry.user_id), entry.ref)
                for listener in tuple(self._listeners):
                    listener(event)


def _parse(user_id: UserID, ref: str) -> SessionEvent:
    if ref.startswith(_DEVICE_ENDED):
        return SessionEvent(user_id, DeviceID(ref[len(_DEVICE_ENDED) :]), has_ended=True)
    return SessionEvent(
        user_id,
        None,
        has_ended=ref in (_LOCKED, _GONE, _ALL_ENDED),
        is_locked=ref == _LOCKED,
        is_gone=ref == _GONE,
    )
