"""Devices that nobody has seen for long are logged out, where the operator wants that."""

from __future__ import annotations

from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from homeserver.users.devices import Devices
from storage import devices as device_rows
from storage.database import Database
from storage.transaction import Transaction

LOOK_EVERY_S = 3600.0
_AT_ONCE = 100


class StaleDevices:
    """Looks for them every hour. With `after_ms` None nobody is ever logged out."""

    def __init__(
        self, db: Database, clock: Clock, tasks: Tasks, devices: Devices, after_ms: int | None
    ) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._devices = devices
        self._after_ms = after_ms
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look now, and then again and again."""
        if self._after_ms is not None:
            self._tasks.spawn("log out stale devices", self._log_out(self._after_ms))
            self._timer = self._clock.call_later(LOOK_EVERY_S, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _log_out(self, after_ms: int) -> None:
        before_ms = self._clock.now_ms() - after_ms
        while await self._db.run(self._delete_some, before_ms):
            pass

    def _delete_some(self, txn: Transaction, before_ms: int) -> bool:
        """Delete some stale devices; whether there may be more."""
        stale = device_rows.list_unseen_since(txn, before_ms, limit=_AT_ONCE)
        for user_id, device_id in stale:
            self._devices.delete_in(txn, user_id, device_id)
        return len(stale) == _AT_ONCE
