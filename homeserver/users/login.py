"""Logging in: each method says who somebody is, and then a session begins.

Spec: https://spec.matrix.org/v1.19/client-server-api/#legacy-login
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from config.identity import OidcProvider
from homeserver.errors import Forbidden, InvalidParam, MatrixError, MissingParam
from homeserver.ids import ServerName, UserID
from homeserver.users.accounts import Accounts, check_may_log_in
from homeserver.users.appservice_identity import AppserviceDirectory
from homeserver.users.identifiers import Identifiers, qualified
from homeserver.users.password_attempts import PasswordAttempts
from homeserver.users.sessions import NewSession, Session, Sessions
from homeserver.users.short_tokens import ShortTokens


class NotExclusive(MatrixError):
    """The user ID is not in a namespace of the application service that asks."""

    errcode = "M_EXCLUSIVE"


class AppserviceLoginUnsupported(MatrixError):
    """A bridge wants a session where there are none to be had by the older ways of logging in."""

    errcode = "M_APPSERVICE_LOGIN_UNSUPPORTED"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login request says about who logs in, and its access token."""

    identifier: Mapping[str, Any] | None = None
    password: str | None = None
    token: str | None = None
    access_token: str | None = None


class LoginMethod(Protocol):
    """A way to log in. `type` is its name on the wire."""

    @property
    def type(self) -> str: ...

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """How it is offered to clients; nothing where it is not."""

    async def authenticate(self, credentials: Credentials) -> UserID:
        """Who logs in.

        Raises:
            MatrixError: the credentials do not say, or are wrong.
        """


class Login:
    """Logs users in by whichever methods there are."""

    def __init__(self, accounts: Accounts, sessions: Sessions, methods: Sequence[LoginMethod]) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._methods = {method.type: method for method in methods}

    def flows(self) -> list[Mapping[str, Any]]:
        """What clients may choose from."""
        return [flow for method in self._methods.values() for flow in method.flows()]

    async def log_in(self, type: str, credentials: Credentials, wanted: NewSession) -> Session:
        """Begin a session for whoever the credentials are those of.

        Raises:
            InvalidParam: there is no such method.
            Forbidden: the credentials are wrong.
            UserDeactivated, UserLocked: the account may not be used.
        """
        method = self._methods.get(type)
        if method is None:
            raise InvalidParam(f"unknown login type {type!r}", errcode="M_UNKNOWN")
        account = await self._accounts.load(await method.authenticate(credentials))
        check_may_log_in(account)
        return await self._sessions.begin(account.user_id, wanted)


class PasswordLogin:
    """Name and password."""

    type = "m.login.password"

    def __init__(self, attempts: PasswordAttempts, identifiers: Identifiers, *, enabled: bool = True) -> None:
        self._attempts = attempts
        self._identifiers = identifiers
        self._enabled = enabled

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """Offered unless passwords are switched off."""
        return [{"type": self.type}] if self._enabled else []

    async def authenticate(self, credentials: Credentials) -> UserID:
        """The user whom the identifier names, if the password is theirs."""
        if not self._enabled:
            raise Forbidden("passwords are switched off on this server")
        if credentials.identifier is None:
            raise MissingParam("identifier is missing")
        if credentials.password is None:
            raise MissingParam("password is missing")
        account = await self._identifiers.find(credentials.identifier)
        if account is not None and account.is_deactivated:
            check_may_log_in(account)
        name = repr(sorted(credentials.identifier.items(), key=repr))
        return (await self._attempts.check(account, credentials.password, name=name)).user_id


class TokenLogin:
    """A token that a session of the same user asked for, or that single sign-on ended with."""

    type = "m.login.token"

    def __init__(self, tokens: ShortTokens, *, get_login_token: bool) -> None:
        self._tokens = tokens
        self._get_login_token = get_login_token

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """Always offered, since single sign-on ends with one; it says whether sessions may ask for tokens too."""
        return [{"type": self.type, **({"get_login_token": True} if self._get_login_token else {})}]

    async def authenticate(self, credentials: Credentials) -> UserID:
        """The user whom the token was issued for."""
        if credentials.token is None:
            raise MissingParam("token is missing")
        return await self._tokens.redeem_login(credentials.token)


class SsoFlow:
    """Single sign-on as it is offered: it ends with a login token, so nobody logs in by it directly.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#sso-client-loginauthentication
    """

    type = "m.login.sso"

    def __init__(self, providers: Sequence[OidcProvider], *, is_preferred: bool) -> None:
        flow: dict[str, Any] = {"type": self.type}
        if providers:
            flow["identity_providers"] = [_shown(provider) for provider in providers]
        if is_preferred:
            # Clients that speak OAuth should, and those that do not come to the same pages.
            flow["oauth_aware_preferred"] = True
        self._flow = flow

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """With the upstream providers that there are."""
        return [self._flow]

    async def authenticate(self, credentials: Credentials) -> UserID:
        """Nobody.

        Raises:
            InvalidParam: always.
        """
        raise InvalidParam("single sign-on begins in a browser, and ends with m.login.token")


def _shown(provider: OidcProvider) -> dict[str, str]:
    shown = {"id": provider.idp_id, "name": provider.idp_name}
    more = {"icon": provider.idp_icon, "brand": provider.idp_brand}
    return {**shown, **{name: value for name, value in more.items() if value is not None}}


class AppserviceLogin:
    """An application service logs one of its users in.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#appservice-login
    """

    type = "m.login.application_service"

    def __init__(self, appservices: AppserviceDirectory, accounts: Accounts, server_name: ServerName) -> None:
        self._appservices = appservices
        self._accounts = accounts
        self._server_name = server_name

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """Always offered; only services can use it."""
        return [{"type": self.type}]

    async def authenticate(self, credentials: Credentials) -> UserID:
        """The user whom the identifier names, if the request has the token of the service that owns them."""
        token = credentials.access_token
        service = None if token is None else self._appservices.find_by_token(token)
        if service is None:
            raise Forbidden("only application services may log in like this")
        identifier = credentials.identifier or {}
        user = identifier.get("user")
        if not isinstance(user, str):
            raise MissingParam("identifier.user is missing")
        user_id = qualified(user, self._server_name)
        if not service.owns(user_id):
            raise NotExclusive(f"{user_id} is not a user of this application service")
        if await self._accounts.find(user_id) is None:
            raise Forbidden(f"{user_id} has not been registered")
        return user_id
