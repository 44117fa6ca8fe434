"""Registration of users, guests, and users of application services.

Spec: https://spec.matrix.org/v1.19/client-server-api/#legacy-account-registration
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import MissingParam, Unrecognized
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.ids import UserID, domain_of
from homeserver.users.login import AppserviceLoginUnsupported
from homeserver.users.open_registration import OpenRegistration, Wish
from homeserver.users.registration_tokens import RegistrationTokens
from homeserver.users.sessions import NewSession, Session

APPLICATION_SERVICE = "m.login.application_service"


class Register(msgspec.Struct):
    """A registration request."""

    auth: dict[str, Any] | None = None
    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False
    refresh_token: bool = False
    guest_access_token: str | None = None
    type: str | None = None


class Kind(msgspec.Struct):
    """Of which kind the account is to be."""

    kind: Literal["user", "guest"] = "user"


class Username(msgspec.Struct):
    """A name that somebody wishes for."""

    username: str


class Token(msgspec.Struct):
    """A registration token."""

    token: str


class RegisterEndpoints:
    """Making accounts; without `is_for_users` only bridges may."""

    def __init__(
        self, registration: OpenRegistration, tokens: RegistrationTokens, *, is_for_users: bool = True
    ) -> None:
        self._registration = registration
        self._is_for_users = is_for_users
        self._tokens = tokens

    @endpoint(
        "POST",
        "/_matrix/client/v3/register",
        auth=Auth.NONE,
        rate_limit=RateLimit("registration", by_address=True),
    )
    async def register(self, query: Kind, body: Register, request: Request) -> dict[str, Any]:
        """Make an account.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
        """
        if not self._is_for_users and body.type != APPLICATION_SERVICE:
            raise Unrecognized("accounts are not made like this on this server")
        if query.kind == "guest":
            session = await self._registration.register_guest(
                NewSession.parse(None, body.initial_device_display_name, wants_refresh=body.refresh_token)
            )
            return session.answer()
        wanted = None
        if not body.inhibit_login:
            wanted = NewSession.parse(
                body.device_id, body.initial_device_display_name, wants_refresh=body.refresh_token
            )
        if body.type == APPLICATION_SERVICE:
            if body.username is None:
                raise MissingParam("username is missing")
            if wanted is not None and not self._is_for_users:
                raise AppserviceLoginUnsupported("inhibit_login must be true on this server")
            return _answer(
                *await self._registration.register_for_appservice(
                    request.access_token(), body.username, wanted
                )
            )
        wish = Wish(body.username, body.password, wanted, body.guest_access_token)
        return _answer(*await self._registration.register(wish, body.auth))

    @endpoint(
        "GET",
        "/_matrix/client/v3/register/available",
        auth=Auth.NONE,
        rate_limit=RateLimit("registration_availability", by_address=True),
    )
    async def check_username_availability(self, query: Username) -> dict[str, bool]:
        """Whether a name is free.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable
        """
        await self._registration.check_available(query.username)
        return {"available": True}

    @endpoint(
        "GET",
        "/_matrix/client/v1/register/m.login.registration_token/validity",
        auth=Auth.NONE,
        rate_limit=RateLimit("registration_token_validity", by_address=True),
        aliases=(
            "/_matrix/client/unstable/org.matrix.msc3231/register/org.matrix.msc3231.login.registration_token/validity",
        ),
    )
    async def registration_token_validity(self, query: Token) -> dict[str, bool]:
        """Whether a registration token has a use left.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#get_matrixclientv1registermloginregistration_tokenvalidity
        """
        return {"valid": await self._tokens.is_valid(query.token)}


def _answer(user_id: UserID, session: Session | None) -> dict[str, Any]:
    if session is None:
        return {"user_id": user_id, "home_server": domain_of(user_id)}
    return session.answer()
