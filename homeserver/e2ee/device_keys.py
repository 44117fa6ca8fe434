"""What devices publish of themselves: their identity keys, one-time keys and fallback keys.

Spec: https://spec.matrix.org/v1.19/client-server-api/#uploading-keys
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from homeserver.e2ee.device_lists import record_device
from homeserver.e2ee.key_forms import (
    ED25519,
    IdentityKeys,
    check_device_keys,
    check_one_time_keys,
    parse_key,
)
from homeserver.e2ee.remembered import Remembered
from homeserver.errors import InvalidParam, MatrixError
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import cross_signing, device_keys, one_time_keys
from storage.database import Database
from storage.one_time_keys import KeyName
from storage.transaction import Transaction

_decode = msgspec.json.decode


SIGNERS_KEPT = 50_000
_Device = tuple[UserID, DeviceID]


class Upload(NamedTuple):
    """What a device publishes, checked as far as that is possible without knowing what it published before."""

    identity: IdentityKeys | None
    one_time_keys: Mapping[KeyName, bytes]
    fallback_keys: Mapping[KeyName, bytes]


class KeyUploads:
    """Takes uploads."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        # The key that each device signs with; empty where the device has none.
        self._signers: Remembered[_Device, bytes] = Remembered(db, _signers, room=SIGNERS_KEPT)
        notifier.subscribe(self._on_entries)

    async def upload(
        self,
        user_id: UserID,
        device_id: DeviceID,
        *,
        device_keys: Mapping[str, Any] | None = None,
        one_time_keys: Mapping[str, Any] | None = None,
        fallback_keys: Mapping[str, Any] | None = None,
    ) -> dict[str, int]:
        """Keep what a device publishes; how many one-time keys it has now, by algorithm.

        Raises:
            InvalidParam: a key is malformed, another device's or signed wrongly.
            MatrixError: another key of that name has been uploaded before.
        """
        identity = None if device_keys is None else check_device_keys(device_keys, user_id, device_id)
        signer: bytes | None
        if identity is not None:
            signer = identity.ed25519
        else:
            device = (user_id, device_id)
            known = self._signers.find(device)
            signer = (await self._signers.load_one(device) if known is None else known) or None
        upload = check_upload(user_id, device_id, identity, signer, one_time_keys or {}, fallback_keys or {})
        if upload == _NOTHING:
            return (await self._db.read(_keys_left, user_id, device_id)).counts
        counts: dict[str, int] = await self._db.run(upload_in, user_id, device_id, upload)
        return counts

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.DEVICE_LIST and entry.user_id is not None:
                self._signers.forget((UserID(entry.user_id), DeviceID(entry.ref)))


def check_upload(
    user_id: UserID,
    device_id: DeviceID,
    identity: IdentityKeys | None,
    signer: bytes | None,
    one_time_keys: Mapping[str, Any],
    fallback_keys: Mapping[str, Any],
) -> Upload:
    """What a device may publish; `signer` is the key that it signs with, if it has one.

    Raises:
        InvalidParam: a key is malformed or signed wrongly, or there are two fallback keys of an algorithm.
    """
    keys = check_one_time_keys(one_time_keys, user_id, device_id, signer)
    fallbacks = check_one_time_keys(fallback_keys, user_id, device_id, signer)
    if len({name.algorithm for name in fallbacks}) < len(fallbacks):
        raise InvalidParam("fallback_keys: there is one for each algorithm")
    return Upload(identity, keys, fallbacks)


_NOTHING = Upload(None, {}, {})


def upload_in(txn: Transaction, user_id: UserID, device_id: DeviceID, upload: Upload) -> dict[str, int]:
    """As `KeyUploads.upload`, in a transaction of the caller's."""
    if upload.identity is not None:
        _save_identity(txn, user_id, device_id, upload.identity)
    keys = upload.one_time_keys
    supply = one_time_keys.look(txn, user_id, device_id, keys)
    for name, known in supply.known.items():
        _check_same(name, known, keys[name])
    counts = supply.counts
    new = {name: key for name, key in keys.items() if name not in supply.known}
    position = txn.log(LogKind.DEVICE_KEYS_COUNT, user_id=user_id, ref=device_id)
    if new:
        for name in new:
            counts[name.algorithm] = counts.get(name.algorithm, 0) + 1
        if sum(counts.values()) > one_time_keys.MAX_KEYS:
            raise InvalidParam(f"a device may have {one_time_keys.MAX_KEYS} one-time keys")
        one_time_keys.add(txn, user_id, device_id, new, position)
    if upload.fallback_keys:
        _save_fallbacks(txn, user_id, device_id, upload.fallback_keys)
    return counts


def _save_identity(txn: Transaction, user_id: UserID, device_id: DeviceID, identity: IdentityKeys) -> None:
    """Keep the device's identity keys if they are new."""
    before = device_keys.find(txn, user_id, device_id)
    if before == identity.json:
        return
    if before is not None and _signing_key(before, device_id) != identity.ed25519:
        # Another identity: what belonged to the old one is of no use to anybody.
        one_time_keys.delete_of_device(txn, user_id, device_id)
        cross_signing.delete_signatures_of(txn, user_id, device_id)
    device_keys.save(txn, user_id, device_id, identity.json)
    record_device(txn, user_id, device_id)


def _signing_key(keys: bytes, device_id: DeviceID) -> bytes:
    key_id = f"{ED25519}:{device_id}"
    return parse_key(_decode(keys)["keys"][key_id], key_id)


def _signers(txn: Transaction, devices: Sequence[_Device]) -> dict[_Device, bytes]:
    found: dict[_Device, bytes] = {}
    for user_id, device_id in devices:
        keys = device_keys.find(txn, user_id, device_id)
        found[user_id, device_id] = b"" if keys is None else _signing_key(keys, device_id)
    return found


def _save_fallbacks(
    txn: Transaction, user_id: UserID, device_id: DeviceID, keys: Mapping[KeyName, bytes]
) -> None:
    for name, key in keys.items():
        before = one_time_keys.find_fallback(txn, user_id, device_id, name.algorithm)
        # The same key again, after an answer that was lost: if it has been used meanwhile, it stays used.
        used = (
            before is not None
            and before[0] == name.key_id
            and one_time_keys.digest_of(before[1]) == one_time_keys.digest_of(key)
            and before[2]
        )
        one_time_keys.save_fallback(txn, user_id, device_id, name, key, used=used)


def _check_same(name: KeyName, known: one_time_keys.KnownKey, new: bytes) -> None:
    if known.key_json != new and known.digest != one_time_keys.digest_of(new):
        old = b"(claimed)" if known.key_json is None else known.key_json
        # COMPAT(clients): some look for this very sentence to find out that they have lost count of their keys.
        raise MatrixError(
            f"One time key {name} already exists. Old key: {old.decode()}; new key: {new.decode()}"
        )


def _keys_left(txn: Transaction, user_id: UserID, device_id: DeviceID) -> one_time_keys.KeysLeft:
    return one_time_keys.keys_left(txn, user_id, device_id)
