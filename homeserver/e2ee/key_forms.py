"""The forms that keys must have, and whether they are signed as they must be. Pure.

What is kept is the canonical JSON of the object without `unsigned`, which is what its signatures cover.
Spec: https://spec.matrix.org/v1.19/client-server-api/#key-distribution
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from homeserver.errors import EventError, InvalidParam, MissingParam
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.signatures import decode_base64, encode_base64, verify_bytes
from homeserver.ids import DeviceID, UserID
from storage.one_time_keys import KeyName

ED25519 = "ed25519"
SIGNED_CURVE25519 = "signed_curve25519"
ONE_TIME_ALGORITHMS = frozenset({SIGNED_CURVE25519, "curve25519"})
"""Those of the specification; others must bear the name of a namespace (`org.example.algorithm`)."""

MAX_KEY_BYTES = 16 * 1024
KEY_BYTES = 32
_NAME = re.compile(r"[!-9;-~]{1,100}:[!-~]{1,150}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)
_ALGORITHM = re.compile(r"[a-z][a-z0-9._-]{0,99}", re.ASCII)
# With this public key, a point of order four, no signature proves anything, and libsodium refuses it. RFC 8032 allows
# a verifier to accept it under the signature of zeros, and load tests whose keys are made up rely on that.
_NO_KEY = bytes(KEY_BYTES)
_NO_SIGNATURE = encode_base64(bytes(64))


class IdentityKeys(NamedTuple):
    """A device's keys: their canonical JSON, and the key that the device signs with."""

    json: bytes
    ed25519: bytes


class CrossSigningForm(NamedTuple):
    """A cross-signing key: its value as an object, its canonical JSON and the public key twice."""

    value: dict[str, Any]
    json: bytes
    public_key: str
    public: bytes


def canonical(value: Any, what: str) -> bytes:
    """The canonical JSON of an object that was sent to us.

    Raises:
        InvalidParam: it has none, or is too large.
    """
    try:
        encoded = encode_canonical(value, strict=True)
    except EventError as error:
        raise InvalidParam(f"{what}: {error}") from None
    if len(encoded) > MAX_KEY_BYTES:
        raise InvalidParam(f"{what} is larger than {MAX_KEY_BYTES} bytes")
    return encoded


def signed_form(value: Mapping[str, Any], what: str) -> bytes:
    """What the signatures of an object cover."""
    return canonical(
        {name: item for name, item in value.items() if name not in ("signatures", "unsigned")}, what
    )


def is_signed(message: bytes, signature: object, public: bytes) -> bool:
    """Whether the signature is the key owner's under the message."""
    if not isinstance(signature, str):
        return False
    if public == _NO_KEY:
        return signature == _NO_SIGNATURE
    return verify_bytes(message, signature, public)


def signature_by(value: Mapping[str, Any], user_id: str, key_id: str) -> object:
    """The user's signature of the object by a key, if there is one."""
    signatures = value.get("signatures")
    of_user = signatures.get(user_id) if isinstance(signatures, dict) else None
    return of_user.get(key_id) if isinstance(of_user, dict) else None


def parse_key(text: object, what: str) -> bytes:
    """The 32 bytes of a public key.

    Raises:
        InvalidParam: it is none.
    """
    try:
        key = decode_base64(text) if isinstance(text, str) else b""
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidParam(f"{what} is not a key of {KEY_BYTES} bytes in base64")
    return key


def check_device_keys(value: Mapping[str, Any], user_id: UserID, device_id: DeviceID) -> IdentityKeys:
    """The identity keys that a device publishes of itself.

    Raises:
        InvalidParam: they are malformed, another device's, or not signed by the device.
        MissingParam: something is not there.
    """
    for name, wanted in (("user_id", str), ("device_id", str), ("algorithms", list), ("keys", dict)):
        if name not in value:
            raise MissingParam(f"device_keys: {name} is missing")
        if not isinstance(value[name], wanted):
            raise InvalidParam(f"device_keys: {name} has the wrong type")
    if value["user_id"] != user_id:
        raise InvalidParam(f"device_keys: these are keys of {value['user_id']}, but you are {user_id}")
    if value["device_id"] != device_id:
        raise InvalidParam(
            f"device_keys: these are keys of {value['device_id']}, but your device is {device_id}"
        )
    if not all(isinstance(algorithm, str) for algorithm in value["algorithms"]):
        raise InvalidParam("device_keys: algorithms must be strings")
    for key_id, key in value["keys"].items():
        algorithm, _, owner = key_id.partition(":")
        if owner != device_id:
            raise InvalidParam(f"device_keys: {key_id} is not a key of {device_id}")
        if not isinstance(key, str):
            raise InvalidParam(f"device_keys: {key_id} is not a string")
        if algorithm in (ED25519, "curve25519"):
            parse_key(key, f"device_keys: {key_id}")
    signing_key_id = f"{ED25519}:{device_id}"
    if signing_key_id not in value["keys"]:
        raise MissingParam(f"device_keys: {signing_key_id} is missing")
    public = parse_key(value["keys"][signing_key_id], signing_key_id)
    if not is_signed(signed_form(value, "device_keys"), signature_by(value, user_id, signing_key_id), public):
        raise InvalidParam(f"device_keys are not signed by {signing_key_id}")
    kept = {name: item for name, item in value.items() if name != "unsigned"}
    return IdentityKeys(canonical(kept, "device_keys"), public)


def parse_key_name(text: str) -> KeyName:
    """The name of a one-time key, `algorithm:key_id`.

    Raises:
        InvalidParam: it is none, or of an algorithm that nobody has named.
    """
    algorithm, _, key_id = text.partition(":")
    if not _NAME.fullmatch(text):
        raise InvalidParam(f"{text[:100]!r} is not the name of a key")
    if algorithm not in ONE_TIME_ALGORITHMS and (not _ALGORITHM.fullmatch(algorithm) or "." not in algorithm):
        raise InvalidParam(f"{algorithm[:100]!r} is not an algorithm of one-time keys")
    return KeyName(algorithm, key_id)


def check_one_time_keys(
    keys: Mapping[str, Any], user_id: UserID, device_id: DeviceID, signer: bytes | None
) -> dict[KeyName, bytes]:
    """One-time or fallback keys as canonical JSON; `signer` is the device's signing key, if we know it.

    Raises:
        InvalidParam: one is malformed or not signed by the device.
    """
    found: dict[KeyName, bytes] = {}
    signing_key_id = f"{ED25519}:{device_id}"
    for text, key in keys.items():
        name = parse_key_name(text)
        if name.algorithm == SIGNED_CURVE25519:
            if not isinstance(key, dict):
                raise InvalidParam(f"{text} is not an object")
            public = key.get("key")
            if not isinstance(public, str) or not _KEY.fullmatch(public):
                raise InvalidParam(f"{text} is not a key of {KEY_BYTES} bytes in base64")
            if not _is_signed_by(key, user_id, signing_key_id, signer, text):
                raise InvalidParam(f"{text} is not signed by {signing_key_id}")
        elif not isinstance(key, str | dict):
            raise InvalidParam(f"{text} is neither a string nor an object")
        found[name] = canonical(key, text)
    return found


def _is_signed_by(
    key: Mapping[str, Any], user_id: UserID, signing_key_id: str, signer: bytes | None, text: str
) -> bool:
    signature = signature_by(key, user_id, signing_key_id)
    if signer is None:
        return signature is not None
    message = b"" if signer == _NO_KEY else signed_form(key, text)
    return is_signed(message, signature, signer)


def check_cross_signing_key(value: Mapping[str, Any], user_id: UserID, usage: str) -> CrossSigningForm:
    """A cross-signing key of the user for one usage; its signatures are not looked at.

    Raises:
        InvalidParam: it is malformed, another user's or for another usage.
    """
    what = f"{usage}_key"
    if value.get("user_id") != user_id:
        raise InvalidParam(f"{what}: user_id must be {user_id}")
    usages = value.get("usage")
    if not isinstance(usages, list) or usage not in usages:
        raise InvalidParam(f"{what}: usage must have {usage}")
    keys = value.get("keys")
    if not isinstance(keys, dict) or len(keys) != 1:
        raise InvalidParam(f"{what}: keys must have exactly one key")
    ((key_id, text),) = keys.items()
    algorithm, _, named = key_id.partition(":")
    if algorithm != ED25519 or named != text:
        raise InvalidParam(f"{what}: {key_id} must be {ED25519}: and the public key")
    public = parse_key(text, f"{what}: {key_id}")
    kept = {name: item for name, item in value.items() if name != "unsigned"}
    return CrossSigningForm(kept, canonical(kept, what), named, public)
