"""Giving out one-time keys: each to one asker only, the oldest first, and fallback keys when none is left.

A key leaves the database in the commit that its asker's answer waits for, so no crash brings it back.
Spec: https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, gatherResults

from federation.wire.answers import ClaimedKeys
from homeserver.e2ee.remote_keys import RemoteKeys, failure_of
from homeserver.errors import RemoteError
from homeserver.ids import DeviceID, ServerName, UserID, domain_of
from homeserver.runtime.notifier import LogKind
from storage import one_time_keys
from storage.database import Database
from storage.transaction import Transaction

Wanted = Mapping[UserID, Mapping[DeviceID, str]]
"""The algorithm of the key that is wanted of each device."""

Claimed = dict[str, dict[str, dict[str, Any]]]
"""User, device, `algorithm:key_id`, key."""


class Claims:
    """Claims keys of local and remote devices."""

    def __init__(self, db: Database, remote: RemoteKeys, *, server_name: ServerName) -> None:
        self._db = db
        self._remote = remote
        self._server_name = server_name

    async def claim(self, wanted: Wanted, timeout_ms: int) -> tuple[Claimed, dict[str, Any]]:
        """A key of each device that has one, and the servers that did not answer."""
        by_server: dict[ServerName, dict[UserID, Mapping[DeviceID, str]]] = {}
        for user_id, devices in wanted.items():
            by_server.setdefault(domain_of(user_id), {})[user_id] = devices
        claimed = await self.claim_local(by_server.pop(self._server_name, {}))
        failures: dict[str, Any] = {}
        await gatherResults(
            [
                Deferred.fromCoroutine(self._claim_of(server, users, timeout_ms, claimed, failures))
                for server, users in by_server.items()
            ]
        )
        return claimed, failures

    async def claim_local(self, wanted: Wanted) -> Claimed:
        """A key of each of our devices that has one: what other servers ask for, too."""
        if not wanted:
            return {}
        return await self._db.run(_claim, wanted)

    async def _claim_of(
        self,
        server: ServerName,
        wanted: Mapping[UserID, Mapping[DeviceID, str]],
        timeout_ms: int,
        claimed: Claimed,
        failures: dict[str, Any],
    ) -> None:
        try:
            answer = await self._remote.claim_user_keys(server, wanted, timeout_ms=timeout_ms)
        except RemoteError as error:
            failures[server] = failure_of(error)
            return
        claimed.update(_asked_for(answer, wanted))


def _asked_for(answer: ClaimedKeys, wanted: Wanted) -> Claimed:
    """The part of another server's answer that answers our question."""
    found: Claimed = {}
    for user_id, devices in answer.one_time_keys.items():
        for device_id, keys in devices.items():
            algorithm = wanted.get(UserID(user_id), {}).get(DeviceID(device_id))
            if algorithm is not None:
                kept = {name: key for name, key in keys.items() if name.startswith(f"{algorithm}:")}
                found.setdefault(user_id, {})[device_id] = kept
    return found


def _claim(txn: Transaction, wanted: Wanted) -> Claimed:
    claimed: Claimed = {}
    for user_id, devices in wanted.items():
        for device_id, algorithm in devices.items():
            log = partial(txn.log, LogKind.DEVICE_KEYS_COUNT, user_id=user_id, ref=device_id)
            key = one_time_keys.claim(txn, user_id, device_id, algorithm, log)
            if key is not None:
                keys = claimed.setdefault(user_id, {}).setdefault(device_id, {})
                keys[str(key.name)] = msgspec.Raw(key.key_json)
    return claimed
