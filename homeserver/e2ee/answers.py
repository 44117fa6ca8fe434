"""What other servers are told of our users' keys.

Spec: https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeserver.e2ee.claims import Claimed, Claims
from homeserver.e2ee.key_rings import KeyRing, KeyRings, ring_of
from homeserver.errors import NotFound
from homeserver.ids import DeviceID, ServerName, UserID, domain_of
from storage import device_lists, users
from storage.database import Database
from storage.transaction import Transaction

_decode = msgspec.json.decode


class KeyAnswers:
    """Answers `user/keys/query`, `user/keys/claim` and `user/devices`; about our own users only."""

    def __init__(
        self,
        db: Database,
        rings: KeyRings,
        claims: Claims,
        *,
        server_name: ServerName,
        tell_names: bool = False,
    ) -> None:
        self._db = db
        self._rings = rings
        self._claims = claims
        self._server_name = server_name
        self._tell_names = tell_names

    async def query(self, wanted: Mapping[UserID, Sequence[DeviceID]]) -> dict[str, Any]:
        """The keys of devices (of all, where none is named), and the cross-signing keys that others may see."""
        rings = await self._rings.load(user for user in wanted if self._is_ours(user))
        devices = {
            user: {
                device: self._shown(keys)
                for device, keys in ring.devices.items()
                if not wanted[user] or device in wanted[user]
            }
            for user, ring in rings.items()
        }
        return {
            "device_keys": devices,
            "master_keys": {
                user: msgspec.Raw(ring.master) for user, ring in rings.items() if ring.master is not None
            },
            "self_signing_keys": {
                user: msgspec.Raw(ring.self_signing)
                for user, ring in rings.items()
                if ring.self_signing is not None
            },
        }

    async def claim(self, wanted: Mapping[UserID, Mapping[DeviceID, str]]) -> Claimed:
        """A one-time key of each device."""
        return await self._claims.claim_local(
            {user: devices for user, devices in wanted.items() if self._is_ours(user)}
        )

    async def user_devices(self, user_id: UserID) -> dict[str, Any]:
        """A user's devices, and the place in the stream of changes that they are as of.

        Raises:
            NotFound: there is no such user here.
        """
        if not self._is_ours(user_id):
            raise NotFound(f"{user_id} is not a user of this server")
        ring, stream_id = await self._db.read(_devices_of, user_id)
        answer: dict[str, Any] = {"user_id": user_id, "stream_id": stream_id, "devices": []}
        for device_id, keys in ring.devices.items():
            device: dict[str, Any] = {"device_id": device_id, "keys": _without_name(keys)}
            name = _decode(keys).get("unsigned", {}).get("device_display_name")
            if self._tell_names and name is not None:
                device["device_display_name"] = name
            answer["devices"].append(device)
        if ring.master is not None:
            answer["master_key"] = msgspec.Raw(ring.master)
        if ring.self_signing is not None:
            answer["self_signing_key"] = msgspec.Raw(ring.self_signing)
        return answer

    def _is_ours(self, user_id: UserID) -> bool:
        return domain_of(user_id) == self._server_name

    def _shown(self, keys: bytes) -> Any:
        return msgspec.Raw(keys) if self._tell_names else _without_name(keys)


def _without_name(keys: bytes) -> dict[str, Any]:
    value: dict[str, Any] = _decode(keys)
    value.pop("unsigned", None)
    return value


def _devices_of(txn: Transaction, user_id: UserID) -> tuple[KeyRing, int]:
    if not users.exists(txn, user_id):
        raise NotFound(f"no user {user_id}")
    return ring_of(txn, user_id), device_lists.last_change(txn, user_id)
