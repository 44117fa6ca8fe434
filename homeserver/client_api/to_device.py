"""Messages from device to device.

Spec: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.to_device import ToDevice
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID

MAX_BODY = 2 * 1024 * 1024
"""A room key for some hundred devices."""


class SendToDevice(msgspec.Struct):
    """A message for each device, by user and device; `*` stands for all devices."""

    messages: dict[UserID, dict[str, dict[str, Any]]]


class ToDeviceEndpoints:
    """Serves `/sendToDevice`."""

    def __init__(self, to_device: ToDevice) -> None:
        self._to_device = to_device

    @endpoint(
        "PUT",
        "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}",
        rate_limit=RateLimit("to_device"),
        guests=True,
        max_body=MAX_BODY,
    )
    async def send_to_device(self, who: Requester, event_type: str, txn_id: str, body: SendToDevice) -> Empty:
        """Send messages to devices.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid
        """
        await self._to_device.send(who.user_id, who.device_id, event_type, txn_id, body.messages)
        return Empty()
