"""Who we are to other servers: the keys that sign in our name, and those that once did.

Spec: https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.errors import ConfigError
from config.federation import KeysConfig, OldSigningKey
from federation.wire.keys import MIN_PUBLISHED_VALIDITY_MS, OldKey, build_server_keys
from homeserver.events.signatures import SigningKey, decode_base64
from homeserver.ids import ServerName


class Identity:
    """Our name and keys. The first key signs; all of them are published and sign what is published.

    So a key is rotated in two steps: add the new one at the end of the file, and once others have learnt it, put it
    first. A key that leaves the file goes to `old_signing_keys`.
    """

    def __init__(
        self, server_name: ServerName, keys: Sequence[SigningKey], old: Sequence[OldKey], *, validity_ms: int
    ) -> None:
        self.server_name = server_name
        self.keys = tuple(keys)
        self._old = tuple(old)
        self._validity_ms = max(validity_ms, 2 * MIN_PUBLISHED_VALIDITY_MS)
        self._published: dict[str, Any] | None = None

    @property
    def key(self) -> SigningKey:
        """The key that signs events and requests."""
        return self.keys[0]

    def published(self, now_ms: int) -> dict[str, Any]:
        """Our key object, valid for at least half of the time that it promises when it is made."""
        current = self._published
        if current is None or current["valid_until_ts"] - now_ms < self._validity_ms // 2:
            current = self._published = build_server_keys(
                self.server_name, self.keys, self._old, valid_until_ms=now_ms + self._validity_ms
            )
        return current


def make_identity(server_name: ServerName, keys: Sequence[SigningKey], config: KeysConfig) -> Identity:
    """Our identity, from the keys of the key file and those that the configuration remembers.

    Raises:
        ConfigError: two keys have one name, or an old key is malformed.
    """
    if len({key.key_id for key in keys}) != len(keys):
        raise ConfigError(f"{config.signing_key_path} holds two keys of the same version")
    old = parse_old_keys(config.old_signing_keys)
    return Identity(server_name, keys, old, validity_ms=config.key_refresh_interval_ms)


def parse_old_keys(old: Mapping[str, OldSigningKey]) -> list[OldKey]:
    """The keys of the past, from the configuration.

    Raises:
        ConfigError: one is malformed.
    """
    found = []
    for key_id, key in old.items():
        try:
            public = decode_base64(key.key)
        except ValueError as error:
            raise ConfigError(f"old_signing_keys: {key_id} is not base64") from error
        if len(public) != 32 or not key_id.startswith("ed25519:"):
            raise ConfigError(f"old_signing_keys: {key_id} is not an Ed25519 key")
        found.append(OldKey(key_id, public, key.expired_ts))
    return found
