"""Answering `/keys/query`: ready bytes of users we know, joined; for others, their servers are asked.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from federation.wire.answers import DeviceKeys
from homeserver.e2ee.key_rings import Given, KeyRing, KeyRings, with_signatures
from homeserver.e2ee.remote_devices import RemoteDevices
from homeserver.e2ee.remote_keys import RemoteKeys, failure_of
from homeserver.errors import RemoteError
from homeserver.ids import DeviceID, ServerName, UserID, domain_of
from storage.cross_signing import MASTER, SELF_SIGNING

FETCHES_AT_ONCE = 10
"""Lists that one query fetches from one server at a time."""

_encode = msgspec.json.encode

Wanted = Mapping[UserID, Sequence[DeviceID]]
"""The devices that are asked for; an empty list stands for all of them."""


class KeyQueries:
    """Answers queries."""

    def __init__(
        self,
        rings: KeyRings,
        remote_devices: RemoteDevices,
        remote: RemoteKeys,
        *,
        server_name: ServerName,
    ) -> None:
        self._rings = rings
        self._remote_devices = remote_devices
        self._remote = remote
        self._server_name = server_name

    async def query(self, requester: UserID, wanted: Wanted, timeout_ms: int) -> bytes:
        """The answer, as the requester may see it."""
        find = self._rings.find
        rings: dict[UserID, KeyRing] = {}
        others: list[UserID] = []
        for user_id in wanted:
            ring = find(user_id) if domain_of(user_id) == self._server_name else None
            if ring is None:
                others.append(user_id)
            else:
                rings[user_id] = ring
        failures: dict[str, Any] = {}
        if others:
            rings |= await self._load(others, timeout_ms, failures)
        given = self._rings.find_given(requester)
        if given is None:
            given = await self._rings.load_given(requester)
        return _answer(requester, wanted, rings, given, failures)

    async def rings_of(self, user_ids: Iterable[UserID]) -> dict[UserID, KeyRing]:
        """The rings of local users."""
        return await self._rings.load(user_ids)

    async def _load(
        self, user_ids: list[UserID], timeout_ms: int, failures: dict[str, Any]
    ) -> dict[UserID, KeyRing]:
        local = [user_id for user_id in user_ids if domain_of(user_id) == self._server_name]
        rings = await self._rings.load(local)
        remote = [user_id for user_id in user_ids if domain_of(user_id) != self._server_name]
        if not remote:
            return rings
        standing = await self._remote_devices.standing(remote)
        rings |= await self._rings.load(standing.good)
        by_server: dict[ServerName, list[UserID]] = {}
        for user_id in remote:
            if user_id not in standing.good:
                by_server.setdefault(domain_of(user_id), []).append(user_id)
        await gatherResults(
            [
                Deferred.fromCoroutine(self._ask(server, users, standing.shared, timeout_ms, rings, failures))
                for server, users in by_server.items()
            ]
        )
        return rings

    async def _ask(
        self,
        server: ServerName,
        users: list[UserID],
        shared: set[UserID],
        timeout_ms: int,
        rings: dict[UserID, KeyRing],
        failures: dict[str, Any],
    ) -> None:
        """Have one server's lists: of those who share rooms with us for good, of others for this answer only."""
        slots = DeferredSemaphore(FETCHES_AT_ONCE)
        strangers: dict[UserID, list[str]] = {user: [] for user in users if user not in shared}
        fetched: list[UserID] = []

        async def fetch(user_id: UserID) -> None:
            if server in failures:
                return
            try:
                await self._remote_devices.fetch(user_id)
            except RemoteError as error:
                failures[server] = failure_of(error)
                return
            # The first copy of a list is no change that the log tells of.
            self._rings.forget(user_id)
            fetched.append(user_id)

        async def ask() -> None:
            if not strangers:
                return
            try:
                answer = await self._remote.query_user_keys(server, strangers, timeout_ms=timeout_ms)
            except RemoteError as error:
                failures[server] = failure_of(error)
                return
            rings.update(_rings_of(answer, strangers))

        await gatherResults(
            [
                Deferred.fromCoroutine(ask()),
                *(slots.run(fetch, user) for user in users if user in shared),
            ]
        )
        rings.update(await self._rings.load(fetched))


def _answer(
    requester: UserID,
    wanted: Wanted,
    rings: Mapping[UserID, KeyRing],
    given: Given,
    failures: Mapping[str, Any],
) -> bytes:
    devices: list[bytes] = []
    masters: list[bytes] = []
    self_signing: list[bytes] = []
    user_signing = b""
    for user_id, chosen in wanted.items():
        ring = rings.get(user_id)
        if ring is None:
            continue
        if not chosen:
            devices.append(ring.devices_entry)
        else:
            some = {device: ring.devices[device] for device in chosen if device in ring.devices}
            devices.append(ring.entry_of(some))
        if ring.master_entry is not None:
            own = given.get(user_id)
            if own is None or ring.master is None:
                masters.append(ring.master_entry)
            else:
                signatures = [one for one in own if one.key_name == ring.master_name]
                masters.append(b"%b:%b" % (ring.quoted, with_signatures(ring.master, signatures)))
        if ring.self_signing_entry is not None:
            self_signing.append(ring.self_signing_entry)
        if user_id == requester and ring.user_signing_entry is not None:
            user_signing = ring.user_signing_entry
    return (
        b'{"device_keys":{%b},"failures":%b,"master_keys":{%b},"self_signing_keys":{%b},"user_signing_keys":{%b}}'
        % (
            b",".join(devices),
            _encode(failures) if failures else b"{}",
            b",".join(masters),
            b",".join(self_signing),
            user_signing,
        )
    )


def _rings_of(answer: DeviceKeys, asked: Mapping[UserID, object]) -> dict[UserID, KeyRing]:
    """What a server says of its users whom we do not follow; what it says of others is not heard."""
    rings = {}
    for user_id in asked:
        devices = {
            DeviceID(device_id): _encode(keys)
            for device_id, keys in answer.device_keys.get(user_id, {}).items()
            if keys.get("user_id") == user_id and keys.get("device_id") == device_id
        }
        keys = {MASTER: answer.master_keys.get(user_id), SELF_SIGNING: answer.self_signing_keys.get(user_id)}
        known = {
            usage: key for usage, key in keys.items() if key is not None and key.get("user_id") == user_id
        }
        master = known.get(MASTER, {}).get("keys")
        name = next(iter(master.values()), None) if isinstance(master, dict) else None
        rings[user_id] = KeyRing(
            user_id,
            devices,
            {usage: _encode(key) for usage, key in known.items()},
            name if isinstance(name, str) else None,
        )
    return rings
