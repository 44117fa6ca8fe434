"""When and where devices were last seen: noted in memory by each request, written in batches."""

from __future__ import annotations

from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from storage import devices as device_rows
from storage.database import Database
from storage.devices import Device, Sighting

WRITE_AFTER_S = 60.0
KEEP_CONNECTIONS_MS = 28 * 24 * 3600 * 1000
_FORGET_EVERY_MS = 24 * 3600 * 1000
_MAX_AGENT = 500


class LastSeen:
    """Sightings that are on their way to the database.

    At most `WRITE_AFTER_S` of them are lost in a crash, which is what the specification allows them to lag
    behind.
    """

    def __init__(self, db: Database, clock: Clock, tasks: Tasks) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._pending: dict[tuple[UserID, DeviceID], Sighting] = {}
        self._timer: Timer | None = None
        self._forgot_at_ms = clock.now_ms()

    def note(self, user_id: UserID, device_id: DeviceID, *, ip: str, agent: bytes, now_ms: int) -> None:
        """The device is here, now."""
        name = agent[:_MAX_AGENT].decode("utf-8", "replace").replace("\0", "")
        self._pending[user_id, device_id] = Sighting(user_id, device_id, ip, name, now_ms)
        if self._timer is None:
            self._timer = self._clock.call_later(WRITE_AFTER_S, self._write_soon)

    def refreshed(self, device: Device) -> Device:
        """The device with what is known but not written yet."""
        seen = self._pending.get((device.user_id, device.device_id))
        if seen is None:
            return device
        return device._replace(last_seen_ms=seen.seen_ms, last_seen_ip=seen.ip, last_seen_agent=seen.agent)

    def pending_of(self, user_id: UserID) -> list[Sighting]:
        """What is known of a user and not written yet."""
        return [seen for (owner, _), seen in self._pending.items() if owner == user_id]

    async def flush(self) -> None:
        """Write what is pending. To be called at shutdown."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._write()

    def _write_soon(self) -> None:
        self._timer = None
        self._tasks.spawn("write when devices were last seen", self._write())

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        if pending:
            await self._db.run(device_rows.record_sightings, list(pending.values()))
        now_ms = self._clock.now_ms()
        if now_ms - self._forgot_at_ms > _FORGET_EVERY_MS:
            self._forgot_at_ms = now_ms
            await self._db.run(device_rows.delete_connections_before, now_ms - KEEP_CONNECTIONS_MS)
