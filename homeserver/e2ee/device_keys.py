"""What devices publish of themselves: their identity keys, one-time keys and fallback keys.

Spec: https://spec.matrix.org/v1.19/client-server-api/#uploading-keys
"""

from __future__ import annotations

from collections.abc import Mapping
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
from homeserver.errors import InvalidParam, MatrixError
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogKind
from storage import cross_signing, device_keys, one_time_keys
from storage.database import Database
from storage.one_time_keys import KeyName
from storage.transaction import Transaction

_decode = msgspec.json.decode


class Upload(NamedTuple):
    """What a device publishes, checked as far as that is possible without knowing what it published before."""

    identity: IdentityKeys | None
    one_time_keys: Mapping[str, Any]
    fallback_keys: Mapping[str, Any]


class KeyUploads:
    """Takes uploads."""

    def __init__(self, db: Database) -> None:
        self._db = db

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
        upload = Upload(identity, one_time_keys or {}, fallback_keys or {})
        if identity is not None or upload.one_time_keys or upload.fallback_keys:
            counts: dict[str, int] = await self._db.run(upload_in, user_id, device_id, upload)
            return counts
        return (await self._db.read(_counts, user_id, device_id)).counts


def upload_in(txn: Transaction, user_id: UserID, device_id: DeviceID, upload: Upload) -> dict[str, int]:
    """As `KeyUploads.upload`, in a transaction of the caller's."""
    signer = _save_identity(txn, user_id, device_id, upload.identity)
    keys = check_one_time_keys(upload.one_time_keys, user_id, device_id, signer)
    supply = one_time_keys.look(txn, user_id, device_id, keys)
    for name, known in supply.known.items():
        _check_same(name, known, keys[name])
    counts = supply.counts
    new = {name: key for name, key in keys.items() if name not in supply.known}
    position = txn.log(LogKind.DEVICE_KEYS_COUNT, user_id=user_id, ref=device_id)
    if new:
        one_time_keys.add(txn, user_id, device_id, new, position)
        for name in new:
            counts[name.algorithm] = counts.get(name.algorithm, 0) + 1
        if sum(counts.values()) > one_time_keys.MAX_KEYS:
            raise InvalidParam(f"a device may have {one_time_keys.MAX_KEYS} one-time keys")
    if upload.fallback_keys:
        fallbacks = check_one_time_keys(upload.fallback_keys, user_id, device_id, signer)
        _save_fallbacks(txn, user_id, device_id, fallbacks)
    return counts


def _save_identity(
    txn: Transaction, user_id: UserID, device_id: DeviceID, identity: IdentityKeys | None
) -> bytes | None:
    """Keep the device's identity keys if they are new; the key by which it signs, if it has one."""
    before = device_keys.find(txn, user_id, device_id)
    if identity is None:
        return None if before is None else _signing_key(before, device_id)
    if before != identity.json:
        if before is not None and _signing_key(before, device_id) != identity.ed25519:
            # Another identity: what belonged to the old one is of no use to anybody.
            one_time_keys.delete_of_device(txn, user_id, device_id)
            cross_signing.delete_signatures_of(txn, user_id, device_id)
        device_keys.save(txn, user_id, device_id, identity.json)
        record_device(txn, user_id, device_id)
    return identity.ed25519


def _signing_key(keys: bytes, device_id: DeviceID) -> bytes:
    key_id = f"{ED25519}:{device_id}"
    return parse_key(_decode(keys)["keys"][key_id], key_id)


def _save_fallbacks(
    txn: Transaction, user_id: UserID, device_id: DeviceID, keys: Mapping[KeyName, bytes]
) -> None:
    if len({name.algorithm for name in keys}) < len(keys):
        raise InvalidParam("fallback_keys: there is one for each algorithm")
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


def _counts(txn: Transaction, user_id: UserID, device_id: DeviceID) -> one_time_keys.KeysLeft:
    return one_time_keys.keys_left(txn, user_id, device_id)
