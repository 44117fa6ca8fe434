"""Logging in with a token that somebody else has signed (`org.matrix.login.jwt`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from config.identity import JwtConfig
from homeserver.errors import Forbidden, MissingParam
from homeserver.ids import ServerName, UserID, is_user_id
from homeserver.runtime.clock import Clock
from homeserver.users.login import Credentials
from storage import users
from storage.database import Database

_LEEWAY_S = 5


class JwtLogin:
    """Takes tokens that say whose they are, and were signed as the configuration says."""

    type = "org.matrix.login.jwt"

    def __init__(self, db: Database, clock: Clock, config: JwtConfig, server_name: ServerName) -> None:
        self._db = db
        self._clock = clock
        self._config = config
        self._server_name = server_name

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """Offered where it is configured."""
        return [{"type": self.type}]

    async def authenticate(self, credentials: Credentials) -> UserID:
        """The user whom the token names; they must have an account."""
        if credentials.token is None:
            raise MissingParam("token is missing")
        subject = self._claims(credentials.token).get(self._config.subject_claim)
        user_id = f"@{str(subject).lower()}:{self._server_name}"
        if not isinstance(subject, str) or not is_user_id(user_id):
            raise Forbidden("the token does not say who you are")
        if not await self._db.read(users.exists, user_id):
            raise Forbidden(f"{user_id} has no account")
        return UserID(user_id)

    def _claims(self, token: str) -> Mapping[str, Any]:
        """What a token says, if it is signed and of this moment.

        The library asks the system what time it is; this server has a clock of its own.
        """
        config = self._config
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                config.secret or "",
                algorithms=[config.algorithm],
                issuer=config.issuer,
                audience=list(config.audiences) or None,
                options={
                    "verify_aud": bool(config.audiences),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError):
            raise Forbidden("the token is not valid") from None
        now_s = self._clock.now_ms() / 1000
        begins, ends = claims.get("nbf", 0), claims.get("exp", now_s + 1)
        if not all(isinstance(one, int | float) for one in (begins, ends)):
            raise Forbidden("the token is not valid")
        if ends <= now_s - _LEEWAY_S or begins > now_s + _LEEWAY_S:
            raise Forbidden("the token has expired, or is not valid yet")
        return claims
