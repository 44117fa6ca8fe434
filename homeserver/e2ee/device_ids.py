"""Which devices local users have, in memory: a message to a device must know, and asks many times a second."""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.e2ee.remembered import Remembered
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import devices as device_rows
from storage.database import Database
from storage.transaction import Transaction

USERS_KEPT = 50_000


class DeviceIDs:
    """The device IDs of local users; nobody has any who does not exist."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._known: Remembered[UserID, frozenset[DeviceID]] = Remembered(db, _devices_of, room=USERS_KEPT)
        self.find = self._known.find
        self.load = self._known.load
        notifier.subscribe(self._on_entries)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.DEVICE_LIST and entry.user_id is not None:
                self._known.forget(UserID(entry.user_id))


def _devices_of(txn: Transaction, user_ids: Sequence[UserID]) -> dict[UserID, frozenset[DeviceID]]:
    return {
        user: frozenset(device.device_id for device in device_rows.list_of_user(txn, user))
        for user in user_ids
    }
