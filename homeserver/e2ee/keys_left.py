"""How many one-time keys each device has left, as the bytes that every `/sync` answer carries.

Spec: https://spec.matrix.org/v1.19/client-server-api/#e2e-extensions-to-sync
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from homeserver.e2ee.key_forms import SIGNED_CURVE25519
from homeserver.e2ee.remembered import Remembered
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import one_time_keys
from storage.database import Database
from storage.transaction import Transaction

DEVICES_KEPT = 50_000

_Device = tuple[UserID, DeviceID]
_encode = msgspec.json.encode


class KeysLeftOf(NamedTuple):
    """A device's supply, and the two sections of `/sync` that tell of it."""

    counts: dict[str, int]
    unused_fallbacks: list[str]
    sections: tuple[bytes, bytes]


class KeysLeft:
    """The supply of each device, in memory while the device is about."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._known: Remembered[_Device, KeysLeftOf] = Remembered(db, _left_of, room=DEVICES_KEPT)
        notifier.subscribe(self._on_entries)

    def find(self, user_id: UserID, device_id: DeviceID) -> KeysLeftOf | None:
        """The device's supply, if it is in memory."""
        return self._known.find((user_id, device_id))

    async def load(self, user_id: UserID, device_id: DeviceID) -> KeysLeftOf:
        return await self._known.load_one((user_id, device_id))

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.DEVICE_KEYS_COUNT and entry.user_id is not None:
                self._known.forget((UserID(entry.user_id), DeviceID(entry.ref)))


def _left_of(txn: Transaction, devices: Sequence[_Device]) -> dict[_Device, KeysLeftOf]:
    return {device: _left(one_time_keys.keys_left(txn, *device)) for device in devices}


def _left(left: one_time_keys.KeysLeft) -> KeysLeftOf:
    # COMPAT(clients): some take a missing algorithm for no news instead of none.
    counts = {SIGNED_CURVE25519: 0, **left.counts}
    return KeysLeftOf(
        counts,
        left.unused_fallbacks,
        (
            b'"device_one_time_keys_count":%b' % _encode(counts),
            b'"device_unused_fallback_key_types":%b' % _encode(left.unused_fallbacks),
        ),
    )
