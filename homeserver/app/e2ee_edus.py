"""What other servers say of devices, handed to encryption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from federation.inbound.edus import EduHandler
from federation.wire import edus as wire
from homeserver.app.e2ee import E2ee
from homeserver.ids import ServerName


def encryption_edus(e2ee: E2ee) -> dict[str, EduHandler]:
    """The types that encryption takes, and how."""

    async def direct_to_device(origin: ServerName, content: Mapping[str, Any]) -> None:
        await e2ee.to_device.receive(origin, msgspec.convert(content, wire.DirectToDevice))

    async def device_list_update(origin: ServerName, content: Mapping[str, Any]) -> None:
        update = msgspec.convert(content, wire.DeviceListUpdate)
        await e2ee.remote_devices.device_list_update(origin, update)

    async def signing_key_update(origin: ServerName, content: Mapping[str, Any]) -> None:
        update = msgspec.convert(content, wire.SigningKeyUpdate)
        await e2ee.remote_devices.signing_key_update(origin, update)

    return {
        wire.DIRECT_TO_DEVICE: direct_to_device,
        wire.DEVICE_LIST_UPDATE: device_list_update,
        wire.SIGNING_KEY_UPDATE: signing_key_update,
        wire.SIGNING_KEY_UPDATE_UNSTABLE: signing_key_update,
    }
