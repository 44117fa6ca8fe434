"""Access tokens that say whose they are: JWTs, for whoever shares the secret to read.

For this server they are as opaque as any other: their hash is looked up, so that one which was revoked, or forged by
somebody who has learnt the secret, is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from homeserver.ids import DeviceID, UserID

_ALGORITHM = "HS256"
_DAY_MS = 24 * 3600 * 1000


class TokenSigner:
    """Signs access tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def sign(
        self, user_id: UserID, device_id: DeviceID, jti: str, now_ms: int, expires_ms: int | None
    ) -> str:
        """A token of a device; `jti` is its name."""
        claims: dict[str, str | int] = {
            "sub": user_id,
            "dev": device_id,
            "jti": jti,
            "iat": now_ms // 1000,
        }
        if expires_ms is not None:
            claims["exp"] = expires_ms // 1000
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)


@dataclass(frozen=True, slots=True)
class Sliding:
    """Sessions that live for as long as they are used: how long an access token works, how long a session may lie
    unused, and what signs the tokens if they are JWTs.
    """

    access_ms: int = _DAY_MS
    idle_ms: int = 30 * _DAY_MS
    signer: TokenSigner | None = None
