"""A device that sleeps on the server, sealed, and collects messages while its user has no other.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from homeserver.e2ee.device_keys import Upload, check_upload, upload_in
from homeserver.e2ee.inboxes import MESSAGES_PER_ANSWER
from homeserver.e2ee.key_forms import check_device_keys
from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import DeviceID, UserID
from homeserver.users.devices import Devices, check_display_name, parse_device_id
from storage import dehydrated as rows
from storage import devices as device_rows
from storage import to_device
from storage.database import Database
from storage.dehydrated import DehydratedDevice
from storage.transaction import Transaction

MAX_DATA_BYTES = 128 * 1024


class Asleep(NamedTuple):
    """A device that is put to sleep."""

    device: DehydratedDevice
    display_name: str | None
    upload: Upload


class Batch(NamedTuple):
    """Messages for the device, and where to go on."""

    messages: list[bytes]
    next_batch: str


class DehydratedDevices:
    """Keeps one dehydrated device for each user who wants one."""

    def __init__(self, db: Database, devices: Devices) -> None:
        self._db = db
        self._devices = devices

    async def put(
        self,
        user_id: UserID,
        device_id: str,
        device_data: Mapping[str, Any],
        *,
        device_keys: Mapping[str, Any],
        one_time_keys: Mapping[str, Any],
        fallback_keys: Mapping[str, Any],
        display_name: str | None = None,
    ) -> None:
        """Keep a device in the place of the one before, which is deleted.

        Raises:
            InvalidParam: a key is malformed, or `device_data` names no algorithm or is too large.
            Forbidden: the user has a device of that name that is awake.
        """
        name = parse_device_id(device_id)
        identity = check_device_keys(device_keys, user_id, name)
        if not isinstance(device_data.get("algorithm"), str):
            raise InvalidParam("device_data: algorithm is missing")
        data = msgspec.json.encode(device_data)
        if len(data) > MAX_DATA_BYTES:
            raise InvalidParam(f"device_data is larger than {MAX_DATA_BYTES} bytes")
        asleep = Asleep(
            DehydratedDevice(name, data),
            None if display_name is None else check_display_name(display_name),
            check_upload(user_id, name, identity, identity.ed25519, one_time_keys, fallback_keys),
        )
        await self._db.run(self._put, user_id, asleep)

    async def load(self, user_id: UserID) -> DehydratedDevice:
        """The user's dehydrated device.

        Raises:
            NotFound: they have none.
        """
        device = await self._db.read(rows.find, user_id)
        if device is None:
            raise NotFound("no dehydrated device")
        return device

    async def delete(self, user_id: UserID) -> DeviceID:
        """Delete the user's dehydrated device; its ID.

        Raises:
            NotFound: they have none.
        """
        return await self._db.run(self._delete, user_id)

    async def messages(
        self, user_id: UserID, device_id: str, next_batch: str | None, limit: int = MESSAGES_PER_ANSWER
    ) -> Batch:
        """Messages for the dehydrated device after a place. They stay until the device is deleted.

        Raises:
            Forbidden: this is not the user's dehydrated device.
            InvalidParam: `next_batch` is no place of ours.
        """
        device = await self._db.read(rows.find, user_id)
        if device is None or device.device_id != device_id:
            raise Forbidden(f"{device_id} is not your dehydrated device")
        after = 0
        if next_batch is not None:
            if not (next_batch.isascii() and next_batch.isdigit() and len(next_batch) <= 18):
                raise InvalidParam(f"{next_batch[:40]!r} is not a next_batch of this server")
            after = int(next_batch)
        found = await self._db.read(to_device.list_after, user_id, device_id, after, limit)
        last = found[-1].position if found else after
        return Batch([message.message for message in found], str(last))

    def _put(self, txn: Transaction, user_id: UserID, asleep: Asleep) -> None:
        device_id = asleep.device.device_id
        before = rows.find(txn, user_id)
        if before is not None:
            self._devices.delete_in(txn, user_id, before.device_id)
        if device_rows.find(txn, user_id, device_id) is not None:
            raise Forbidden(f"you have a device {device_id} that is not dehydrated")
        self._devices.add_in(txn, user_id, device_id, asleep.display_name)
        upload_in(txn, user_id, device_id, asleep.upload)
        rows.save(txn, user_id, asleep.device)

    def _delete(self, txn: Transaction, user_id: UserID) -> DeviceID:
        device = rows.find(txn, user_id)
        if device is None:
            raise NotFound("no dehydrated device")
        self._devices.delete_in(txn, user_id, device.device_id)
        rows.delete(txn, user_id, device.device_id)
        return device.device_id
