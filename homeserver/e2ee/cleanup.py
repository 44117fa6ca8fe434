"""What goes with a device, and with an account: their keys, and what waits for them."""

from __future__ import annotations

from homeserver.e2ee.device_lists import record_cross_signing, record_device
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.tasks import Tasks
from storage import cross_signing, dehydrated, device_keys, key_backup, one_time_keys, to_device
from storage import devices as device_rows
from storage.database import Database
from storage.transaction import Transaction


class Cleanups:
    """Has the shapes that `users.devices` and `users.deactivation` ask for."""

    def __init__(self, db: Database, tasks: Tasks) -> None:
        self._db = db
        self._tasks = tasks

    def delete_device(self, txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
        """The device is being deleted in this transaction."""
        had_keys = device_keys.delete(txn, user_id, device_id)
        one_time_keys.delete_of_device(txn, user_id, device_id)
        to_device.delete_of_device(txn, user_id, device_id)
        cross_signing.delete_signatures_of(txn, user_id, device_id)
        dehydrated.delete(txn, user_id, device_id)
        if had_keys:
            record_device(txn, user_id, device_id)
        txn.after_commit(self._sweep, user_id, device_id)

    def delete_account(self, txn: Transaction, user_id: UserID) -> None:
        """The account is being deactivated in this transaction; its devices are gone already."""
        key_backup.delete_of_user(txn, user_id)
        if cross_signing.delete_of_user(txn, user_id):
            record_cross_signing(txn, user_id)

    def _sweep(self, user_id: UserID, device_id: DeviceID) -> None:
        # Messages that were on their way to the device when it went have been written before this runs.
        self._tasks.spawn(f"sweep after {device_id} of {user_id}", self._delete_orphans(user_id, device_id))

    async def _delete_orphans(self, user_id: UserID, device_id: DeviceID) -> None:
        await self._db.run(_delete_orphans, user_id, device_id)


def _delete_orphans(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    if device_rows.find(txn, user_id, device_id) is None:
        to_device.delete_of_device(txn, user_id, device_id)
