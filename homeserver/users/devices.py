"""A user's devices: the one place that adds, renames and deletes them, in a transaction of its own or of its
caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from homeserver.errors import Forbidden, InvalidParam, NotFound, TooLarge
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind
from homeserver.users import session_events
from homeserver.users.last_seen import LastSeen
from storage import devices as device_rows
from storage import tokens
from storage.database import Database
from storage.devices import Device, Sighting
from storage.transaction import Transaction

MAX_DISPLAY_NAME = 100
MAX_DEVICE_ID = 255

DeviceCleanup = Callable[[Transaction, UserID, DeviceID], None]
"""Deletes what belongs to a device that goes (its keys, its to-device messages), in the same transaction."""

DeviceChange = Callable[[Transaction, UserID, DeviceID], None]
"""Logs (as DEVICE_LIST) that a device has come, gone or been renamed, in the same transaction."""

ReservedDeviceID = Callable[[Transaction, UserID, DeviceID], bool]
"""Whether a new device may not have this ID, since it is one of the user's cross-signing keys."""


def never_reserved(txn: Transaction, user_id: UserID, device_id: DeviceID) -> bool:
    """No device ID is reserved, where there is no cross-signing."""
    return False


def log_change(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    """Tell of a change to nobody in particular, where there is no encryption."""
    txn.log(LogKind.DEVICE_LIST, user_id=user_id, ref=device_id)


def parse_device_id(value: str) -> DeviceID:
    if not value or len(value.encode("utf-8", "surrogatepass")) > MAX_DEVICE_ID or "\0" in value:
        raise InvalidParam(f"{value!r} is not a device ID")
    return DeviceID(value)


def check_display_name(name: str) -> str:
    """A display name that a device may have.

    Raises:
        TooLarge: it is longer than `MAX_DISPLAY_NAME`.
    """
    if len(name) > MAX_DISPLAY_NAME:
        raise TooLarge(f"the device's name is longer than {MAX_DISPLAY_NAME} characters", status=400)
    return name.replace("\0", "")


class Devices:
    """The devices of local users."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        last_seen: LastSeen,
        *,
        cleanups: Sequence[DeviceCleanup] = (),
        is_reserved: ReservedDeviceID = never_reserved,
        changed: DeviceChange = log_change,
    ) -> None:
        self._db = db
        self._clock = clock
        self._last_seen = last_seen
        self._cleanups = tuple(cleanups)
        self._is_reserved = is_reserved
        self._changed = changed

    async def list_of_user(self, user_id: UserID) -> list[Device]:
        """The user's devices, oldest first."""
        devices = await self._db.read(device_rows.list_of_user, user_id)
        return [self._last_seen.refreshed(device) for device in devices]

    async def load(self, user_id: UserID, device_id: str) -> Device:
        """One device.

        Raises:
            NotFound: the user has no such device.
        """
        device = await self._db.read(device_rows.find, user_id, device_id)
        if device is None:
            raise NotFound(f"no device {device_id}")
        return self._last_seen.refreshed(device)

    async def list_connections(self, user_id: UserID) -> list[Sighting]:
        """Where the user's devices connected from, latest first."""
        written = await self._db.read(device_rows.list_connections, user_id)
        known = {(seen.device_id, seen.ip, seen.agent): seen for seen in written}
        for seen in self._last_seen.pending_of(user_id):
            known[seen.device_id, seen.ip, seen.agent] = seen
        return sorted(known.values(), key=lambda seen: seen.seen_ms, reverse=True)

    async def rename(self, user_id: UserID, device_id: str, display_name: str | None) -> None:
        """Give a device another name; with None nothing changes.

        Raises:
            NotFound: the user has no such device.
        """
        name = None if display_name is None else check_display_name(display_name)
        await self._db.run(self._rename, user_id, device_id, name)

    async def create_or_rename(self, user_id: UserID, device_id: str, display_name: str | None) -> bool:
        """As `rename`, but a missing device is created; True if it was. For application services."""
        parsed = parse_device_id(device_id)
        name = None if display_name is None else check_display_name(display_name)
        created: bool = await self._db.run(self._create_or_rename, user_id, parsed, name)
        return created

    async def delete(self, user_id: UserID, device_ids: Iterable[str]) -> None:
        """Delete devices and end their sessions; those that do not exist are gone already."""
        await self._db.run(self._delete, user_id, tuple(device_ids))

    async def delete_all(self, user_id: UserID, *, except_device: DeviceID | None = None) -> None:
        """Delete every device of the user, but perhaps for one."""
        await self._db.run(self.delete_all_in, user_id, except_device)

    def add_in(
        self, txn: Transaction, user_id: UserID, device_id: DeviceID, display_name: str | None
    ) -> bool:
        """Add a device unless the user has it; False if they do, and then it keeps its name.

        Raises:
            Forbidden: the ID is that of a cross-signing key.
        """
        if self._is_reserved(txn, user_id, device_id):
            raise Forbidden(f"{device_id} is one of your cross-signing keys")
        added = device_rows.add(
            txn, user_id, device_id, display_name=display_name, created_ms=self._clock.now_ms()
        )
        if added:
            self._changed(txn, user_id, device_id)
        return added

    def delete_in(self, txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
        """Delete a device with its tokens and whatever else belongs to it."""
        tokens.delete_of_device(txn, user_id, device_id)
        if device_rows.delete(txn, user_id, device_id):
            for cleanup in self._cleanups:
                cleanup(txn, user_id, device_id)
            self._changed(txn, user_id, device_id)
            session_events.log_device_ended(txn, user_id, device_id)

    def delete_all_in(self, txn: Transaction, user_id: UserID, except_device: DeviceID | None = None) -> None:
        """Delete every device of the user, but perhaps for one."""
        for device in device_rows.list_of_user(txn, user_id):
            if device.device_id != except_device:
                self.delete_in(txn, user_id, device.device_id)

    def _rename(self, txn: Transaction, user_id: UserID, device_id: str, name: str | None) -> None:
        if name is None:
            if device_rows.find(txn, user_id, device_id) is None:
                raise NotFound(f"no device {device_id}")
            return
        if not device_rows.rename(txn, user_id, device_id, name):
            raise NotFound(f"no device {device_id}")
        self._changed(txn, user_id, DeviceID(device_id))

    def _create_or_rename(
        self, txn: Transaction, user_id: UserID, device_id: DeviceID, name: str | None
    ) -> bool:
        if self.add_in(txn, user_id, device_id, name):
            return True
        self._rename(txn, user_id, device_id, name)
        return False

    def _delete(self, txn: Transaction, user_id: UserID, device_ids: tuple[str, ...]) -> None:
        for device_id in device_ids:
            self.delete_in(txn, user_id, DeviceID(device_id))
