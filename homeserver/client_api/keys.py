"""Publishing, finding and claiming the keys of devices.

Spec: https://spec.matrix.org/v1.19/client-server-api/#key-management-api
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.claims import Claims
from homeserver.e2ee.device_keys import KeyUploads
from homeserver.e2ee.device_lists import DeviceLists
from homeserver.e2ee.key_queries import KeyQueries
from homeserver.errors import InvalidParam
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.ids import DeviceID, UserID, is_user_id
from homeserver.rooms.tokens import parse_token

MAX_BODY = 2 * 1024 * 1024
DEFAULT_TIMEOUT_MS = 10_000
MAX_TIMEOUT_MS = 60_000


class UploadKeys(msgspec.Struct):
    """What a device publishes."""

    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None
    unstable_fallback_keys: dict[str, Any] | None = msgspec.field(
        name="org.matrix.msc2732.fallback_keys", default=None
    )


class QueryKeys(msgspec.Struct):
    """Whose keys are asked for; an empty list stands for all devices. `timeout` in ms."""

    device_keys: dict[UserID, list[DeviceID]]
    timeout: int = DEFAULT_TIMEOUT_MS


class ClaimKeys(msgspec.Struct):
    """The algorithm of the key that is wanted of each device. `timeout` in ms."""

    one_time_keys: dict[UserID, dict[DeviceID, str]]
    timeout: int = DEFAULT_TIMEOUT_MS


class ChangesQuery(msgspec.Struct, rename={"from_": "from"}):
    """Two tokens of `/sync`."""

    from_: str
    to: str


class KeyEndpoints:
    """Serves `/keys`."""

    def __init__(
        self, uploads: KeyUploads, queries: KeyQueries, claims: Claims, device_lists: DeviceLists
    ) -> None:
        self._uploads = uploads
        self._queries = queries
        self._claims = claims
        self._device_lists = device_lists

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/upload",
        rate_limit=RateLimit("keys"),
        guests=True,
        max_body=MAX_BODY,
    )
    async def upload_keys(self, who: Requester, body: UploadKeys) -> dict[str, Any]:
        """Publish keys of the device.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload
        """
        if who.device_id is None:
            raise InvalidParam("only a device can upload keys")
        counts = await self._uploads.upload(
            who.user_id,
            who.device_id,
            device_keys=body.device_keys,
            one_time_keys=body.one_time_keys,
            fallback_keys=body.unstable_fallback_keys if body.fallback_keys is None else body.fallback_keys,
        )
        return {"one_time_key_counts": counts}

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/query",
        rate_limit=RateLimit("keys"),
        guests=True,
        max_body=MAX_BODY,
    )
    async def query_keys(self, who: Requester, body: QueryKeys) -> RawJson:
        """The devices and identity keys of users.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
        """
        _check_users(body.device_keys)
        return RawJson(await self._queries.query(who.user_id, body.device_keys, _within(body.timeout)))

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/claim",
        rate_limit=RateLimit("keys"),
        guests=True,
        max_body=MAX_BODY,
    )
    async def claim_keys(self, who: Requester, body: ClaimKeys) -> dict[str, Any]:
        """Claim a one-time key of each of some devices.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
        """
        _check_users(body.one_time_keys)
        claimed, failures = await self._claims.claim(body.one_time_keys, _within(body.timeout))
        return {"one_time_keys": claimed, "failures": failures}

    @endpoint("GET", "/_matrix/client/v3/keys/changes", rate_limit=RateLimit("keys"))
    async def get_keys_changes(self, who: Requester, query: ChangesQuery) -> dict[str, Any]:
        """Whose keys changed between two answers of `/sync`.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
        """
        after, until = parse_token(query.from_, name="from"), parse_token(query.to, name="to")
        changes = await self._device_lists.changes(who.user_id, after.position, until.position)
        return {"changed": sorted(changes.changed), "left": sorted(changes.left)}


def _check_users(users: dict[UserID, Any]) -> None:
    for user_id in users:
        if not is_user_id(user_id):
            raise InvalidParam(f"{user_id[:255]!r} is not a user ID")


def _within(timeout_ms: int) -> int:
    return min(max(timeout_ms, 0), MAX_TIMEOUT_MS)
