"""A user's devices.

Spec: https://spec.matrix.org/v1.19/client-server-api/#device-management
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.users.devices import Devices
from homeserver.users.interactive_auth import InteractiveAuth
from storage.devices import Device


class UpdateDevice(msgspec.Struct):
    """What a device may be told."""

    display_name: str | None = None


class DeleteDevice(msgspec.Struct):
    """A request to delete the device that the path names."""

    auth: dict[str, Any] | None = None


class DeleteDevices(msgspec.Struct):
    """A request to delete several devices."""

    devices: list[str]
    auth: dict[str, Any] | None = None


def _device_answer(device: Device) -> dict[str, Any]:
    known = {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        "last_seen_ts": device.last_seen_ms,
    }
    return {key: value for key, value in known.items() if value is not None}


class DeviceEndpoints:
    """Listing, naming and deleting devices."""

    def __init__(self, devices: Devices, interactive_auth: InteractiveAuth) -> None:
        self._devices = devices
        self._auth = interactive_auth

    @endpoint("GET", "/_matrix/client/v3/devices", guests=True)
    async def get_devices(self, who: Requester) -> dict[str, Any]:
        """The user's devices.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devices
        """
        return {
            "devices": [_device_answer(device) for device in await self._devices.list_of_user(who.user_id)]
        }

    @endpoint("GET", "/_matrix/client/v3/devices/{device_id}", guests=True)
    async def get_device(self, who: Requester, device_id: str) -> dict[str, Any]:
        """One device.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devicesdeviceid
        """
        return _device_answer(await self._devices.load(who.user_id, device_id))

    @endpoint("PUT", "/_matrix/client/v3/devices/{device_id}", rate_limit=RateLimit("devices"), guests=True)
    async def update_device(self, who: Requester, device_id: str, body: UpdateDevice) -> Empty | Response:
        """Name a device; application services may create one.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3devicesdeviceid
        """
        if who.appservice_id is None:
            await self._devices.rename(who.user_id, device_id, body.display_name)
        elif await self._devices.create_or_rename(who.user_id, device_id, body.display_name):
            return Response(201, {})
        return Empty()

    @endpoint("DELETE", "/_matrix/client/v3/devices/{device_id}")
    async def delete_device(self, who: Requester, device_id: str, body: DeleteDevice) -> Empty:
        """Delete a device.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3devicesdeviceid
        """
        return await self._delete(who, [device_id], "DELETE /devices/{deviceId}", body.auth)

    @endpoint("POST", "/_matrix/client/v3/delete_devices")
    async def delete_devices(self, who: Requester, body: DeleteDevices) -> Empty:
        """Delete several devices.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3delete_devices
        """
        return await self._delete(who, body.devices, "POST /delete_devices", body.auth)

    async def _delete(
        self, who: Requester, device_ids: list[str], operation: str, auth: dict[str, Any] | None
    ) -> Empty:
        if who.appservice_id is not None:
            await self._devices.delete(who.user_id, device_ids)
            return Empty()
        async with self._auth.proven_by_user(
            operation,
            auth,
            who.user_id,
            description=f"remove {len(device_ids)} device(s)",
            may_reuse=True,
        ):
            await self._devices.delete(who.user_id, device_ids)
        return Empty()
