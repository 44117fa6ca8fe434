"""Shared-secret registration: whoever knows the server's secret makes accounts without further ado.

A request carries an HMAC-SHA1 over a nonce and what is asked for, as existing tools send it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from homeserver.errors import Forbidden, InvalidParam, MatrixError
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.ids import domain_of
from homeserver.users.registration import NewUser, Registration
from homeserver.users.sessions import NewSession
from homeserver.users.short_tokens import ShortTokens
from homeserver.users.usernames import Usernames

_PATH = "/_synapse/admin/v1/register"


class RegisterWithSecret(msgspec.Struct):
    """The request. `mac` is over nonce, username, password, "admin" or "notadmin", and the user type if there
    is one.
    """

    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None
    displayname: str | None = None
    inhibit_login: bool = False

    def expected_mac(self, secret: str) -> str:
        """The `mac` of somebody who knows the secret."""
        parts = [self.nonce, self.username, self.password, "admin" if self.admin else "notadmin"]
        if self.user_type:
            parts.append(self.user_type)
        message = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(secret.encode(), message, hashlib.sha1).hexdigest()


class SharedSecretRegistrationEndpoints:
    """Registration by shared secret; without one it is switched off."""

    def __init__(
        self,
        registration: Registration,
        usernames: Usernames,
        short_tokens: ShortTokens,
        *,
        secret: str | None,
    ) -> None:
        self._registration = registration
        self._usernames = usernames
        self._short_tokens = short_tokens
        self._secret = secret

    @endpoint(
        "GET", _PATH, auth=Auth.NONE, rate_limit=RateLimit("shared_secret_registration", by_address=True)
    )
    async def get_registration_nonce(self) -> dict[str, str]:
        """A nonce for one registration."""
        self._enabled_secret()
        return {"nonce": await self._short_tokens.issue_nonce()}

    @endpoint(
        "POST", _PATH, auth=Auth.NONE, rate_limit=RateLimit("shared_secret_registration", by_address=True)
    )
    async def register_with_shared_secret(self, body: RegisterWithSecret) -> dict[str, Any]:
        """Make an account."""
        secret = self._enabled_secret()
        if "\0" in body.username or "\0" in body.password:
            raise InvalidParam("username and password have no zero bytes")
        if not await self._short_tokens.is_fresh_nonce(body.nonce):
            raise InvalidParam("unrecognised nonce", errcode="M_UNKNOWN")
        if not hmac.compare_digest(body.expected_mac(secret), body.mac.lower()):
            raise Forbidden("HMAC incorrect")
        user_id = self._usernames.parse(body.username)
        await self._usernames.check_free(user_id, even_if_hidden=True)
        user = NewUser(
            user_id,
            body.password,
            display_name=body.displayname,
            user_type=body.user_type,
            is_admin=body.admin,
        )
        session = await self._registration.register(user, None if body.inhibit_login else NewSession())
        return (
            {"user_id": user_id, "home_server": domain_of(user_id)} if session is None else session.answer()
        )

    def _enabled_secret(self) -> str:
        if not self._secret:
            raise MatrixError("shared secret registration is not enabled")
        return self._secret
