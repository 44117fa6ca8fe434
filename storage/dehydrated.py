"""Dehydrated devices: at most one a user, kept encrypted by its owner to be used when no other device is left."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import DeviceID
from storage.transaction import Transaction


class DehydratedDevice(NamedTuple):
    """The device's ID, and the JSON object that only its owner understands."""

    device_id: DeviceID
    device_data: bytes


def save(txn: Transaction, user_id: str, device: DehydratedDevice) -> None:
    txn.put(
        "dehydrated_devices",
        ("user_name", "device_id", "device_data"),
        (txn.intern(user_id), *device),
        ("user_name",),
    )


def find(txn: Transaction, user_id: str) -> DehydratedDevice | None:
    row = txn.one(
        "SELECT device_id, device_data FROM dehydrated_devices WHERE user_name = ?",
        txn.find_interned(user_id),
    )
    return None if row is None else DehydratedDevice(DeviceID(row[0]), bytes(row[1]))


def delete(txn: Transaction, user_id: str, device_id: str) -> bool:
    """Forget the user's dehydrated device if it is this one; False if it is not."""
    return (
        txn.execute(
            "DELETE FROM dehydrated_devices WHERE user_name = ? AND device_id = ?",
            txn.intern(user_id),
            device_id,
        )
        == 1
    )
