"""Dehydrated devices, under the paths that clients use while the proposal is open.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.dehydrated_devices import Batch, DehydratedDevices
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson

_PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
MAX_BODY = 2 * 1024 * 1024
MAX_LIMIT = 1000


class PutDevice(msgspec.Struct):
    """A device that goes to sleep."""

    device_id: str
    device_data: dict[str, Any]
    device_keys: dict[str, Any]
    initial_device_display_name: str | None = None
    one_time_keys: dict[str, Any] = {}
    fallback_keys: dict[str, Any] = {}


class NextBatch(msgspec.Struct):
    """Where to go on."""

    next_batch: str | None = None


class EventsQuery(msgspec.Struct):
    """Where to go on, and how far."""

    next_batch: str | None = None
    limit: int = 100


def _answer(batch: Batch) -> RawJson:
    return RawJson(
        b'{"events":[%b],"next_batch":%b}'
        % (b",".join(batch.messages), msgspec.json.encode(batch.next_batch))
    )


class DehydratedDeviceEndpoints:
    """Putting a device to sleep, waking it, and its messages."""

    def __init__(self, dehydrated_devices: DehydratedDevices) -> None:
        self._devices = dehydrated_devices

    @endpoint("PUT", _PATH, rate_limit=RateLimit("devices"), max_body=MAX_BODY)
    async def put_dehydrated_device(self, who: Requester, body: PutDevice) -> dict[str, Any]:
        """Keep a device in the place of the one before.

        Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
        """
        await self._devices.put(
            who.user_id,
            body.device_id,
            body.device_data,
            device_keys=body.device_keys,
            one_time_keys=body.one_time_keys,
            fallback_keys=body.fallback_keys,
            display_name=body.initial_device_display_name,
        )
        return {"device_id": body.device_id}

    @endpoint("GET", _PATH, rate_limit=RateLimit("devices"))
    async def get_dehydrated_device(self, who: Requester) -> dict[str, Any]:
        """The user's dehydrated device.

        Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
        """
        device = await self._devices.load(who.user_id)
        return {"device_id": device.device_id, "device_data": msgspec.Raw(device.device_data)}

    @endpoint("DELETE", _PATH, rate_limit=RateLimit("devices"))
    async def delete_dehydrated_device(self, who: Requester) -> dict[str, Any]:
        """Delete the user's dehydrated device.

        Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
        """
        return {"device_id": await self._devices.delete(who.user_id)}

    @endpoint("GET", f"{_PATH}/{{device_id}}/events", rate_limit=RateLimit("devices"))
    async def get_dehydrated_device_events(
        self, who: Requester, device_id: str, query: EventsQuery
    ) -> RawJson:
        """Messages that were sent to the dehydrated device.

        Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
        """
        limit = min(max(query.limit, 1), MAX_LIMIT)
        return _answer(await self._devices.messages(who.user_id, device_id, query.next_batch, limit))

    @endpoint("POST", f"{_PATH}/{{device_id}}/events", rate_limit=RateLimit("devices"))
    async def post_dehydrated_device_events(
        self, who: Requester, device_id: str, query: EventsQuery, body: NextBatch
    ) -> RawJson:
        """As the GET, in the form that clients have used so far.

        Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/3814
        """
        limit = min(max(query.limit, 1), MAX_LIMIT)
        place = query.next_batch if body.next_batch is None else body.next_batch
        return _answer(await self._devices.messages(who.user_id, device_id, place, limit))
