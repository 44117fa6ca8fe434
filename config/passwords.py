"""Passwords: whether there are any, what they must be like, what hashing them costs."""

from __future__ import annotations

from dataclasses import dataclass

from config.schema import part, secret, setting, size


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordPolicy:
    """What a password must be like."""

    enabled: bool = setting(False, "Whether the policy holds.")
    minimum_length: int = setting(0, "The fewest characters.")
    require_digit: bool = setting(False, "Whether it must have a digit.")
    require_symbol: bool = setting(
        False, "Whether it must have a character that is neither letter nor digit."
    )
    require_lowercase: bool = setting(False, "Whether it must have a small letter.")
    require_uppercase: bool = setting(False, "Whether it must have a capital letter.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordConfig:
    """Passwords."""

    enabled: bool = setting(True, "Whether passwords are accepted at all.")
    localdb_enabled: bool = setting(True, "Whether those of the database are; the same here.")
    pepper: str | None = secret("Appended to each password before hashing. Once set it can never be changed.")
    policy: PasswordPolicy = part(PasswordPolicy(), "What a password must be like.")

    @property
    def is_enabled(self) -> bool:
        return self.enabled and self.localdb_enabled


@dataclass(frozen=True, kw_only=True, slots=True)
class HashingConfig:
    """Hashing: new passwords are kept as argon2id; bcrypt hashes of migrated users are read."""

    bcrypt_rounds: int = setting(
        12, "The cost as Synapse counts it: each step up or down from 12 doubles or halves argon2's passes."
    )
    argon2_memory: int = size("19M", "The memory of one hash.")
    argon2_time_cost: int | None = setting(None, "The passes of one hash, instead of `bcrypt_rounds`.")

    def __post_init__(self) -> None:
        if not 4 <= self.bcrypt_rounds <= 31:
            raise ValueError("bcrypt_rounds must be between 4 and 31")
        if self.argon2_memory < 8192:
            raise ValueError("argon2_memory must be at least 8K")

    @property
    def time_cost(self) -> int:
        """The passes of argon2id."""
        if self.argon2_time_cost is not None:
            return max(1, self.argon2_time_cost)
        return max(1, round(2.0 * 2.0 ** (self.bcrypt_rounds - 12)))

    @property
    def memory_kib(self) -> int:
        """The memory of argon2id; a server that turns the cost far down (a test) means the memory too."""
        kib = self.argon2_memory // 1024
        return kib if self.bcrypt_rounds >= 11 else max(64, kib >> (2 * (11 - self.bcrypt_rounds)))
