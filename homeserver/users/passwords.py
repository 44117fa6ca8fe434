"""Passwords: argon2id for new ones, bcrypt for accounts that came from elsewhere.

Hashing is slow on purpose, so it never happens on the reactor's thread: the `Executor` moves it elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from config.passwords import HashingConfig, PasswordConfig
from homeserver.errors import InvalidParam, MatrixError

Executor = Callable[..., Awaitable[Any]]
"""Runs `fn(*args)` where it may take long, and gives its result: `deferToThread`, or inline in tests."""

MAX_PASSWORD_BYTES = 512

_BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")


class WeakPassword(MatrixError):
    errcode = "M_WEAK_PASSWORD"


class Passwords:
    """Hashes and verifies passwords, and says which are too weak."""

    def __init__(self, executor: Executor, config: PasswordConfig, cost: HashingConfig) -> None:
        self._executor = executor
        self._hasher = PasswordHasher(time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=1)
        self._pepper = config.pepper or ""
        self._policy = config.policy
        self.are_enabled = config.is_enabled
        # Verified where there is no account, so that an answer takes as long as if there were one.
        self._decoy: str | None = None

    def check_strength(self, password: str) -> None:
        """Refuse what may not become a password.

        Raises:
            WeakPassword: it is empty, or against the server's policy.
            InvalidParam: it is too long to hash.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            raise InvalidParam(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
        if not password:
            raise WeakPassword("the password is empty")
        policy = self._policy
        if not policy.enabled:
            return
        if len(password) < policy.minimum_length:
            raise WeakPassword(f"the password needs at least {policy.minimum_length} characters")
        for is_required, is_met, what in (
            (policy.require_digit, str.isdigit, "digit"),
            (policy.require_lowercase, str.islower, "lower-case letter"),
            (policy.require_uppercase, str.isupper, "upper-case letter"),
            (policy.require_symbol, _is_symbol, "symbol"),
        ):
            if is_required and not any(is_met(character) for character in password):
                raise WeakPassword(f"the password needs a {what}")

    async def hash(self, password: str) -> str:
        """The hash to store for a new password."""
        hashed: str = await self._executor(self._hasher.hash, self._peppered(password))
        return hashed

    async def is_correct(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one that was hashed; without a hash it takes as long to say no."""
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return False
        if password_hash is None:
            if self._decoy is None:
                self._decoy = await self.hash("")
            await self._executor(self._verify, password, self._decoy)
            return False
        correct: bool = await self._executor(self._verify, password, password_hash)
        return correct

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash is of another kind or cost than new ones are."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _peppered(self, password: str) -> bytes:
        return (unicodedata.normalize("NFKC", password) + self._pepper).encode("utf-8", "surrogatepass")

    def _verify(self, password: str, password_hash: str) -> bool:
        secret = self._peppered(password)
        if password_hash.startswith(_BCRYPT):
            # bcrypt has always ignored what follows byte 72; its library has come to refuse it.
            try:
                return bcrypt.checkpw(secret[:72], password_hash.encode("ascii", "replace"))
            except ValueError:
                return False
        try:
            return self._hasher.verify(password_hash, secret)
        except (Argon2Error, InvalidHashError):
            return False


def _is_symbol(character: str) -> bool:
    return not character.isalnum()
