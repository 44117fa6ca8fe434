"""Registration tokens: who holds one may make an account, as often as it allows and until it expires."""

from __future__ import annotations

from typing import NamedTuple

from storage.transaction import Transaction


class RegistrationToken(NamedTuple):
    """A token; `pending` counts registrations under way, `completed` those that came to an end."""

    token: str
    uses_allowed: int | None = None
    pending: int = 0
    completed: int = 0
    expires_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether another registration may begin with it."""
        if self.expires_ms is not None and self.expires_ms < now_ms:
            return False
        return self.uses_allowed is None or self.pending + self.completed < self.uses_allowed


_SELECT = "SELECT token, uses_allowed, pending, completed, expires_ms FROM registration_tokens"


def add(txn: Transaction, token: RegistrationToken) -> bool:
    """Add a token; False if there is one of that name."""
    return (
        txn.execute(
            "INSERT INTO registration_tokens (token, uses_allowed, pending, completed, expires_ms)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (token) DO NOTHING",
            *token,
        )
        == 1
    )


def find(txn: Transaction, token: str) -> RegistrationToken | None:
    row = txn.one(f"{_SELECT} WHERE token = ?", token)
    return None if row is None else RegistrationToken(*row)


def list_all(txn: Transaction) -> list[RegistrationToken]:
    return [RegistrationToken(*row) for row in txn.all(f"{_SELECT} ORDER BY token")]


def update(txn: Transaction, token: str, *, uses_allowed: int | None, expires_ms: int | None) -> bool:
    """Change a token's limits; False if there is no such token."""
    return (
        txn.execute(
            "UPDATE registration_tokens SET uses_allowed = ?, expires_ms = ? WHERE token = ?",
            uses_allowed,
            expires_ms,
            token,
        )
        == 1
    )


def delete(txn: Transaction, token: str) -> bool:
    """Delete a token; False if there is none of that name."""
    return txn.execute("DELETE FROM registration_tokens WHERE token = ?", token) == 1


def reserve(txn: Transaction, token: str, *, now_ms: int) -> bool:
    """Begin a registration with the token; False if it is unknown, expired or used up."""
    return (
        txn.execute(
            "UPDATE registration_tokens SET pending = pending + 1 WHERE token = ?"
            " AND (expires_ms IS NULL OR expires_ms >= ?)"
            " AND (uses_allowed IS NULL OR pending + completed < uses_allowed)",
            token,
            now_ms,
        )
        == 1
    )


def complete(txn: Transaction, token: str) -> None:
    """The registration came to its end: the use counts for good."""
    txn.execute(
        "UPDATE registration_tokens SET pending = pending - 1, completed = completed + 1"
        " WHERE token = ? AND pending > 0",
        token,
    )


def cancel(txn: Transaction, token: str) -> None:
    """The registration was given up: the use is free again."""
    txn.execute("UPDATE registration_tokens SET pending = pending - 1 WHERE token = ? AND pending > 0", token)
