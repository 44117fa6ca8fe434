"""This server as a policy server: what rooms that have named it are to be kept free of."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from config.schema import secret, setting

_SEED_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyServerConfig:
    """Being a policy server; without a key it is none."""

    signing_key: str | None = secret("The seed of its Ed25519 key: 32 bytes as unpadded base64.")
    denied_senders: tuple[str, ...] = setting(
        (), "Users whose events it refuses, `*:spam.example.org` among them."
    )
    denied_words: tuple[str, ...] = setting((), "Words that it lets nobody write.")

    def __post_init__(self) -> None:
        if self.signing_key is not None:
            self.seed()

    def seed(self) -> bytes | None:
        """The seed of the key, if there is one.

        Raises:
            ValueError: it is none.
        """
        if self.signing_key is None:
            return None
        try:
            seed = base64.b64decode(self.signing_key + "=" * (-len(self.signing_key) % 4), validate=True)
        except binascii.Error:
            seed = b""
        if len(seed) != _SEED_BYTES:
            raise ValueError("signing_key is 32 bytes as unpadded base64")
        return seed
