"""The public half of what clients' cryptography does: keys of devices and users, really signed."""

from __future__ import annotations

import itertools
from typing import Any

from homeserver.events.hashes import encode_base64
from homeserver.events.signatures import SigningKey, sign_json
from homeserver.runtime.random import Randomness, SeededRandomness

ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
OTK = "signed_curve25519"


class DeviceCrypto:
    """One device's identity, and the keys that it makes."""

    def __init__(self, user_id: str, device_id: str, randomness: Randomness | None = None) -> None:
        self._randomness = randomness or SeededRandomness(f"{user_id} {device_id}")
        self.user_id = user_id
        self.device_id = device_id
        # A device ID may hold what a key version may not: the signature is moved to its proper name.
        self._key = SigningKey.of("device", self._randomness.bytes(32))
        self.ed25519 = self._key.public_base64
        self.curve25519 = encode_base64(self._randomness.bytes(32))
        self._numbers = itertools.count(1)

    @property
    def key_id(self) -> str:
        return f"ed25519:{self.device_id}"

    def sign(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object with the device's signature."""
        return sign(value, self.user_id, self.device_id, self._key)

    def device_keys(self, **extra: Any) -> dict[str, Any]:
        """What the device publishes of itself."""
        return self.sign(
            {
                "user_id": self.user_id,
                "device_id": self.device_id,
                "algorithms": ALGORITHMS,
                "keys": {f"curve25519:{self.device_id}": self.curve25519, self.key_id: self.ed25519},
                **extra,
            }
        )

    def one_time_key(self, *, fallback: bool = False) -> dict[str, Any]:
        key: dict[str, Any] = {"key": encode_base64(self._randomness.bytes(32))}
        return self.sign(key | {"fallback": True} if fallback else key)

    def one_time_keys(self, count: int) -> dict[str, Any]:
        """New one-time keys, whose names tell their order."""
        return {f"{OTK}:k{next(self._numbers):06}": self.one_time_key() for _ in range(count)}

    def fallback_key(self) -> dict[str, Any]:
        return {f"{OTK}:f{next(self._numbers):06}": self.one_time_key(fallback=True)}


class UserCrypto:
    """A user's three cross-signing keys."""

    def __init__(self, user_id: str, *, seed: str = "") -> None:
        randomness = SeededRandomness(f"cross-signing {user_id} {seed}")
        self.user_id = user_id
        self._master, self._self_signing, self._user_signing = (
            SigningKey.of("key", randomness.bytes(32)) for _ in range(3)
        )

    @property
    def master_name(self) -> str:
        return self._master.public_base64

    def master_key(self) -> dict[str, Any]:
        return self._form("master", self._master)

    def keys(self) -> dict[str, Any]:
        """What `device_signing/upload` takes."""
        return {
            "master_key": self.master_key(),
            "self_signing_key": self.signed_by_master(self._form("self_signing", self._self_signing)),
            "user_signing_key": self.signed_by_master(self._form("user_signing", self._user_signing)),
        }

    def signed_by_master(self, value: dict[str, Any]) -> dict[str, Any]:
        return sign(value, self.user_id, self.master_name, self._master)

    def vouch_for_device(self, device_keys: dict[str, Any]) -> dict[str, Any]:
        """A device's keys with the signature of the self-signing key alone."""
        bare = {name: item for name, item in device_keys.items() if name not in ("signatures", "unsigned")}
        return sign(bare, self.user_id, self._self_signing.public_base64, self._self_signing)

    def vouch_for_user(self, master_key: dict[str, Any]) -> dict[str, Any]:
        """Another user's master key with the signature of the user-signing key alone."""
        bare = {name: item for name, item in master_key.items() if name not in ("signatures", "unsigned")}
        return sign(bare, self.user_id, self._user_signing.public_base64, self._user_signing)

    def _form(self, usage: str, key: SigningKey) -> dict[str, Any]:
        name = key.public_base64
        return {"user_id": self.user_id, "usage": [usage], "keys": {f"ed25519:{name}": name}}


def sign(value: dict[str, Any], user_id: str, name: str, key: SigningKey) -> dict[str, Any]:
    """The object with one more signature, by a key of that name."""
    probe = {member: item for member, item in value.items() if member != "signatures"}
    sign_json(probe, user_id, key)
    signature = probe["signatures"][user_id][key.key_id]
    signatures = {who: dict(theirs) for who, theirs in value.get("signatures", {}).items()}
    signatures.setdefault(user_id, {})[f"ed25519:{name}"] = signature
    return {**value, "signatures": signatures}


def corrupted(value: dict[str, Any]) -> dict[str, Any]:
    """The object with every signature wrong."""
    wrong = encode_base64(bytes(range(64)))
    return {
        **value,
        "signatures": {who: dict.fromkeys(theirs, wrong) for who, theirs in value["signatures"].items()},
    }
