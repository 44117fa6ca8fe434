"""What other servers ask about our users' devices and keys.

Spec: https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.answers import KeyAnswers
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.ids import DeviceID, UserID

MAX_KEYS_BODY = 1024 * 1024
_KEYS = RateLimit("federation")


class KeysQuery(msgspec.Struct):
    """Devices by user; an empty list is all of them."""

    device_keys: dict[UserID, list[DeviceID]]


class KeysClaim(msgspec.Struct):
    """The algorithm that is wanted, by user and device."""

    one_time_keys: dict[UserID, dict[DeviceID, str]]


class UserKeyEndpoints:
    """Serves devices and keys of local users."""

    def __init__(self, answers: KeyAnswers) -> None:
        self._answers = answers

    @endpoint("GET", "/_matrix/federation/v1/user/devices/{user_id}", auth=Auth.FEDERATION, rate_limit=_KEYS)
    async def get_user_devices(self, user_id: UserID) -> dict[str, Any]:
        """A user's devices, to follow their changes from.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid
        """
        return await self._answers.user_devices(user_id)

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/query",
        auth=Auth.FEDERATION,
        rate_limit=_KEYS,
        max_body=MAX_KEYS_BODY,
    )
    async def query_user_encryption_keys(self, body: KeysQuery) -> dict[str, Any]:
        """The keys of users' devices.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery
        """
        return await self._answers.query(body.device_keys)

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/claim",
        auth=Auth.FEDERATION,
        rate_limit=_KEYS,
        max_body=MAX_KEYS_BODY,
    )
    async def claim_user_encryption_keys(self, body: KeysClaim) -> dict[str, Any]:
        """A one-time key of each of some devices.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim
        """
        return {"one_time_keys": await self._answers.claim(body.one_time_keys)}
