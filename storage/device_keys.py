"""The identity keys of devices: of our users' devices, and copies of those of remote users."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import DeviceID
from storage.transaction import Transaction


class DeviceKeysRow(NamedTuple):
    """A device's keys as they were uploaded: canonical JSON with the device's own signatures."""

    device_id: DeviceID
    keys: bytes
    display_name: str | None


def save(
    txn: Transaction, user_id: str, device_id: str, keys: bytes, *, display_name: str | None = None
) -> None:
    """Keep a device's keys in place of those it had; `display_name` is that of a remote device."""
    txn.put(
        "device_keys",
        ("user_name", "device_id", "keys", "display_name"),
        (txn.intern(user_id), device_id, keys, display_name),
        ("user_name", "device_id"),
    )


def find(txn: Transaction, user_id: str, device_id: str) -> bytes | None:
    keys = txn.value(
        "SELECT keys FROM device_keys WHERE user_name = ? AND device_id = ?",
        txn.find_interned(user_id),
        device_id,
    )
    return None if keys is None else bytes(keys)


def list_of_user(txn: Transaction, user_id: str) -> list[DeviceKeysRow]:
    """The keys of every device of the user that has any, in the order of the device IDs."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT k.device_id, k.keys, COALESCE(d.display_name, k.display_name) FROM device_keys k"
        " LEFT JOIN devices d ON d.user_name = k.user_name AND d.device_id = k.device_id"
        " WHERE k.user_name = ? ORDER BY k.device_id",
        user,
    )
    return [DeviceKeysRow(DeviceID(device_id), bytes(keys), name) for device_id, keys, name in rows]


def delete(txn: Transaction, user_id: str, device_id: str) -> bool:
    """Delete a device's keys; False if it had none."""
    return (
        txn.execute(
            "DELETE FROM device_keys WHERE user_name = ? AND device_id = ?", txn.intern(user_id), device_id
        )
        == 1
    )


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM device_keys WHERE user_name = ?", txn.intern(user_id))
