"""What `/keys/query` says of each user, as ready bytes: they are joined to answers and never made twice.

A ring holds what everybody may see. Signatures that one user put to the keys of another are for the signer alone and
are added to the few answers that show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from homeserver.e2ee.remembered import Remembered
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import cross_signing, device_keys
from storage.cross_signing import MASTER, SELF_SIGNING, USER_SIGNING, KeySignature
from storage.database import Database
from storage.transaction import Transaction

RINGS_BYTES = 64 * 1024 * 1024
SIGNERS_KEPT = 50_000

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class KeyRing:
    """One user's public keys. `*_entry` is the member of the answer's object: `"@user:server":{...}`."""

    __slots__ = (
        "devices",
        "devices_entry",
        "master",
        "master_entry",
        "master_name",
        "quoted",
        "self_signing",
        "self_signing_entry",
        "user_signing_entry",
        "weight",
    )

    def __init__(
        self,
        user_id: UserID,
        devices: dict[DeviceID, bytes],
        cross_signing_keys: dict[str, bytes],
        master_name: str | None,
    ) -> None:
        self.quoted = _encode(user_id)
        self.devices = devices
        self.devices_entry = self.entry_of(devices)
        self.master = cross_signing_keys.get(MASTER)
        self.master_name = master_name
        self.self_signing = cross_signing_keys.get(SELF_SIGNING)
        self.master_entry = self._named(self.master)
        self.self_signing_entry = self._named(self.self_signing)
        self.user_signing_entry = self._named(cross_signing_keys.get(USER_SIGNING))
        self.weight = 600 + 2 * len(self.devices_entry) + 4 * len(self.master_entry or b"")

    def entry_of(self, devices: dict[DeviceID, bytes]) -> bytes:
        """The answer's member for some of the devices."""
        members = b",".join([b"%b:%b" % (_encode(device), keys) for device, keys in devices.items()])
        return b"%b:{%b}" % (self.quoted, members)

    def _named(self, key: bytes | None) -> bytes | None:
        return None if key is None else b"%b:%b" % (self.quoted, key)


Given = dict[UserID, list[KeySignature]]
"""The signatures that a user has put to keys of others, by whose keys they are."""


class KeyRings:
    """The rings of users, local and remote, as far as the database has their keys."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._rings: Remembered[UserID, KeyRing] = Remembered(
            db, _rings_of, room=RINGS_BYTES, weigh=lambda ring: ring.weight
        )
        self._given: Remembered[UserID, Given] = Remembered(db, _given_by, room=SIGNERS_KEPT)
        self.find = self._rings.find
        self.load = self._rings.load
        self.forget = self._rings.forget
        self.find_given = self._given.find
        notifier.subscribe(self._on_entries)

    async def load_given(self, signer: UserID) -> Given:
        """What the user has signed of others."""
        return await self._given.load_one(signer)

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            kind = entry.kind
            if (kind is LogKind.DEVICE_LIST or kind is LogKind.CROSS_SIGNING) and entry.user_id is not None:
                user = UserID(entry.user_id)
                self._rings.forget(user)
                self._given.forget(user)


def with_signatures(key: bytes, signatures: Sequence[KeySignature]) -> bytes:
    """A key with more signatures than it was uploaded with."""
    if not signatures:
        return key
    value: dict[str, Any] = _decode(key)
    for one in signatures:
        value.setdefault("signatures", {}).setdefault(one.signer, {})[one.signer_key] = one.signature
    return _encode(value)


def ring_of(txn: Transaction, user_id: UserID) -> KeyRing:
    """The user's ring as the database has it; an empty one for whoever has no keys."""
    signatures: dict[str, list[KeySignature]] = {}
    for one in cross_signing.list_own_signatures(txn, user_id):
        signatures.setdefault(one.key_name, []).append(one)
    devices = {}
    for row in device_keys.list_of_user(txn, user_id):
        keys = with_signatures(row.keys, signatures.get(row.device_id, ()))
        devices[row.device_id] = _with_name(keys, row.display_name)
    found = cross_signing.list_of_user(txn, user_id)
    keys_by_usage = {
        usage: with_signatures(key.keys, signatures.get(key.public_key, ())) for usage, key in found.items()
    }
    return KeyRing(user_id, devices, keys_by_usage, found[MASTER].public_key if MASTER in found else None)


def _with_name(keys: bytes, name: str | None) -> bytes:
    if name is None:
        return keys
    return b'%b,"unsigned":{"device_display_name":%b}}' % (keys[:-1], _encode(name))


def _rings_of(txn: Transaction, user_ids: Sequence[UserID]) -> dict[UserID, KeyRing]:
    return {user_id: ring_of(txn, user_id) for user_id in user_ids}


def _given_by(txn: Transaction, signers: Sequence[UserID]) -> dict[UserID, Given]:
    found: dict[UserID, Given] = {}
    for signer in signers:
        given = found[signer] = {}
        for one in cross_signing.list_signatures_for_others(txn, signer):
            given.setdefault(one.user_id, []).append(one)
    return found
