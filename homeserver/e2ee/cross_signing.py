"""Cross-signing: a user's three public keys, and the signatures that tie keys together.

Spec: https://spec.matrix.org/v1.19/client-server-api/#cross-signing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.e2ee.device_lists import record_cross_signing, record_device, record_signing
from homeserver.e2ee.key_forms import (
    ED25519,
    CrossSigningForm,
    check_cross_signing_key,
    is_signed,
    parse_key,
    signature_by,
    signed_form,
)
from homeserver.errors import Forbidden, InvalidParam, MatrixError, MissingParam, NotFound
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock
from storage import cross_signing as rows
from storage import device_keys
from storage import devices as device_rows
from storage.cross_signing import MASTER, SELF_SIGNING, USER_SIGNING, CrossSigningKey, KeySignature
from storage.database import Database
from storage.transaction import Transaction

USAGES = (MASTER, SELF_SIGNING, USER_SIGNING)
Failures = dict[str, dict[str, dict[str, Any]]]
"""User, key, error."""

_decode = msgspec.json.decode


class InvalidSignature(MatrixError):
    errcode = "M_INVALID_SIGNATURE"


class CrossSigning:
    """Keeps cross-signing keys, and signatures by them and by devices."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def needs_proof(self, user_id: UserID, keys: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the user must prove to be themselves to have these keys: not for the first, nor for the same."""
        return await self._db.read(_needs_proof, user_id, keys, self._clock.now_ms())

    async def upload(self, user_id: UserID, keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the keys, which are given by usage.

        Raises:
            InvalidParam: a key is malformed.
            MissingParam: there is no master key to sign the others.
            InvalidSignature: the master key has not signed a key.
            Forbidden: a key has the name of one of the user's devices.
        """
        forms = {usage: check_cross_signing_key(key, user_id, usage) for usage, key in keys.items()}
        await self._db.run(_upload, user_id, forms)

    async def allow_reset(self, user_id: UserID, duration_ms: int) -> int | None:
        """Let the user replace their keys without proof for so long; until when, or None if they have none."""
        until_ms = self._clock.now_ms() + duration_ms
        return until_ms if await self._db.run(_allow_reset, user_id, until_ms) else None

    async def sign(
        self, signer: UserID, signed: Mapping[UserID, Mapping[str, Mapping[str, Any]]]
    ) -> Failures:
        """Keep the signatures that the user put to keys of theirs and of others; those that are not kept, and why."""
        return await self._db.run(_sign, signer, signed)


def _needs_proof(
    txn: Transaction, user_id: UserID, keys: Mapping[str, Mapping[str, Any]], now_ms: int
) -> bool:
    known = rows.list_of_user(txn, user_id)
    if MASTER not in known:
        return False
    until_ms = rows.find_reset(txn, user_id)
    if until_ms is not None and until_ms > now_ms:
        return False
    return any(usage not in known or not _is_same(known[usage].keys, key) for usage, key in keys.items())


def _is_same(known: bytes, key: Mapping[str, Any]) -> bool:
    """Whether it is the key that we have, whatever signatures it comes with."""
    ignored = ("signatures", "unsigned")
    bare = {name: item for name, item in _decode(known).items() if name not in ignored}
    return bare == {name: item for name, item in key.items() if name not in ignored}


def _upload(txn: Transaction, user_id: UserID, forms: Mapping[str, CrossSigningForm]) -> None:
    known = rows.list_of_user(txn, user_id)
    master = forms.get(MASTER)
    if master is None and MASTER not in known:
        raise MissingParam("there is no master key to sign the others")
    public_key = master.public_key if master is not None else known[MASTER].public_key
    public = master.public if master is not None else parse_key(public_key, "the master key")
    for usage, form in forms.items():
        if device_rows.find(txn, user_id, form.public_key) is not None:
            raise Forbidden(f"the {usage} key has the name of one of your devices")
        if usage != MASTER:
            signature = signature_by(form.value, user_id, f"{ED25519}:{public_key}")
            if not is_signed(signed_form(form.value, usage), signature, public):
                raise InvalidSignature(f"the {usage} key is not signed by the master key")
    changed = False
    if master is not None and MASTER in known and known[MASTER].public_key != public_key:
        # The new master key has not signed the old keys: with those, nothing could be trusted.
        for usage in (SELF_SIGNING, USER_SIGNING):
            if usage not in forms:
                rows.delete(txn, user_id, usage)
    for usage in USAGES:
        new = forms.get(usage)
        if new is not None:
            key = CrossSigningKey(usage, new.public_key, new.json)
            if known.get(usage) != key:
                rows.save(txn, user_id, key)
                changed = True
    if changed:
        rows.end_reset(txn, user_id)
        record_cross_signing(txn, user_id)


def _allow_reset(txn: Transaction, user_id: UserID, until_ms: int) -> bool:
    if rows.find(txn, user_id, MASTER) is None:
        return False
    rows.allow_reset(txn, user_id, until_ms)
    return True


def is_cross_signing_key(txn: Transaction, user_id: UserID, device_id: DeviceID) -> bool:
    """Whether a device ID is taken by one of the user's cross-signing keys."""
    return any(key.public_key == device_id for key in rows.list_of_user(txn, user_id).values())


# Signatures.


def _sign(
    txn: Transaction, signer: UserID, signed: Mapping[UserID, Mapping[str, Mapping[str, Any]]]
) -> Failures:
    failures: Failures = {}
    for user_id, keys in signed.items():
        for name, value in keys.items():
            try:
                if user_id == signer:
                    _sign_own(txn, signer, name, value)
                else:
                    _sign_other(txn, signer, user_id, name, value)
            except MatrixError as error:
                failures.setdefault(user_id, {})[name] = error.body()
    return failures


def _sign_own(txn: Transaction, user_id: UserID, name: str, value: Mapping[str, Any]) -> None:
    """The self-signing key signs the user's devices; devices sign the master key."""
    own = rows.list_of_user(txn, user_id)
    stored = device_keys.find(txn, user_id, name)
    if stored is not None:
        _check_unchanged(stored, value)
        signing = own.get(SELF_SIGNING)
        if signing is None:
            raise InvalidSignature("you have no self-signing key")
        new = [_checked(user_id, name, user_id, signing.public_key, value, "self-signing")]
        if _add(txn, new):
            record_device(txn, user_id, DeviceID(name))
        return
    master = own.get(MASTER)
    if master is None or name != master.public_key:
        raise NotFound(f"you have neither a device nor a master key {name}")
    _check_unchanged(master.keys, value)
    new = [
        _checked(user_id, name, user_id, device_id, value, "device's", key)
        for device_id, key in _devices_that_signed(txn, user_id, value, master.public_key)
    ]
    if not new:
        raise InvalidSignature("none of your devices has signed it")
    if _add(txn, new):
        record_cross_signing(txn, user_id)


def _devices_that_signed(
    txn: Transaction, user_id: UserID, value: Mapping[str, Any], master: str
) -> list[tuple[str, str]]:
    signatures = value.get("signatures")
    own = signatures.get(user_id) if isinstance(signatures, dict) else None
    found = []
    for key_id in own if isinstance(own, dict) else ():
        device_id = key_id.partition(":")[2]
        # Beside the new signatures stand those that the key was uploaded with.
        if device_id == master or not key_id.startswith(f"{ED25519}:"):
            continue
        keys = device_keys.find(txn, user_id, device_id)
        if keys is not None:
            found.append((device_id, str(_decode(keys)["keys"][key_id])))
    return found


def _sign_other(
    txn: Transaction, signer: UserID, user_id: UserID, name: str, value: Mapping[str, Any]
) -> None:
    """The user-signing key signs the master keys of others."""
    signing = rows.find(txn, signer, USER_SIGNING)
    if signing is None:
        raise InvalidSignature("you have no user-signing key")
    master = rows.find(txn, user_id, MASTER)
    if master is None or name != master.public_key:
        raise NotFound(f"{user_id} has no master key {name}")
    _check_unchanged(master.keys, value)
    if _add(txn, [_checked(user_id, name, signer, signing.public_key, value, "user-signing")]):
        record_signing(txn, signer, user_id)


def _check_unchanged(stored: bytes, value: Mapping[str, Any]) -> None:
    if not _is_same(stored, value):
        raise InvalidParam("this is not the key as it was uploaded")


def _checked(
    user_id: UserID,
    name: str,
    signer: UserID,
    signer_name: str,
    value: Mapping[str, Any],
    what: str,
    public_key: str | None = None,
) -> KeySignature:
    """The signature of the value by one key."""
    key_id = f"{ED25519}:{signer_name}"
    signature = signature_by(value, signer, key_id)
    public = parse_key(signer_name if public_key is None else public_key, key_id)
    if not isinstance(signature, str) or not is_signed(signed_form(value, name), signature, public):
        raise InvalidSignature(f"the signature by your {what} key is missing or wrong")
    return KeySignature(user_id, name, signer, key_id, signature)


def _add(txn: Transaction, signatures: list[KeySignature]) -> bool:
    """Keep signatures; False if we had all of them."""
    new = [one for one in signatures if not rows.has_signature(txn, one)]
    rows.add_signatures(txn, new)
    return bool(new)
