"""Randomness, which services are given: the operating system's, or in simulation one that can be replayed."""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Randomness:
    """Unpredictable values for secrets and identifiers."""

    def bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return secrets.randbelow(limit)

    def token(self, count: int) -> str:
        """A URL-safe text made of `count` random bytes (about 1.3 characters each)."""
        return base64.urlsafe_b64encode(self.bytes(count)).rstrip(b"=").decode("ascii")

    def choice(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high), for the jitter of retries."""
        return low + (high - low) * self.below(1 << 53) / (1 << 53)


class SeededRandomness(Randomness):
    """The same values again for the same seed. Never for a server that others can reach."""

    def __init__(self, seed: int | str) -> None:
        self._source = random.Random(seed)  # noqa: S311  # being predictable is what it is for

    def bytes(self, count: int) -> bytes:
        return self._source.randbytes(count)

    def below(self, limit: int) -> int:
        return self._source.randrange(limit)
