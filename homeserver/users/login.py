"""Logging in: each method says who somebody is, and then a session begins.

Spec: https://spec.matrix.org/v1.19/client-server-api/#legacy-login
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.errors import Forbidden, InvalidParam, LimitExceeded, MatrixError, MissingParam
from homeserver.http.rate_limit import RateLimiter
from homeserver.ids import ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.users.accounts import Accounts, check_may_log_in
from homeserver.users.appservice_identity import AppserviceDirectory
from homeserver.users.identifiers import Identifiers, qualified
from homeserver.users.sessions import NewSession, Session, Sessions
from homeserver.users.short_tokens import ShortTokens

ACCOUNT_LIMIT = "login_account"
FAILURE_LIMIT = "login_failed_attempts"


class NotExclusive(MatrixError):
    """The user ID is not in a namespace of the application service that asks."""

    errcode = "M_EXCLUSIVE"


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
    """Name and password. Attempts are counted per account, and failed ones again."""

    type = "m.login.password"

    def __init__(
        self,
        accounts: Accounts,
        identifiers: Identifiers,
        limiter: RateLimiter,
        clock: Clock,
        *,
        enabled: bool = True,
    ) -> None:
        self._accounts = accounts
        self._identifiers = identifiers
        self._limiter = limiter
        self._clock = clock
        self._enabled = enabled
        # Who has failed too often may not even try until then: a right guess would look just as refused.
        self._barred_until_ms: dict[str, int] = {}

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
        key = (
            account.user_id if account is not None else repr(sorted(credentials.identifier.items(), key=repr))
        )
        self._check_barred(key)
        await _counted(self._limiter, ACCOUNT_LIMIT, key)
        if account is not None and account.is_deactivated:
            check_may_log_in(account)
        try:
            return (await self._accounts.check_password(account, credentials.password)).user_id
        except Forbidden:
            await self._count_failure(key)
            raise

    def _check_barred(self, key: str) -> None:
        until_ms, now_ms = self._barred_until_ms.get(key, 0), self._clock.now_ms()
        if until_ms > now_ms:
            raise LimitExceeded("too many failed attempts", retry_after_ms=until_ms - now_ms)
        self._barred_until_ms.pop(key, None)

    async def _count_failure(self, key: str) -> None:
        try:
            await _counted(self._limiter, FAILURE_LIMIT, key)
        except LimitExceeded as error:
            now_ms = self._clock.now_ms()
            self._barred_until_ms = {k: until for k, until in self._barred_until_ms.items() if until > now_ms}
            self._barred_until_ms[key] = now_ms + error.retry_after_ms


class TokenLogin:
    """A token that a session of the same user asked for, or that single sign-on ended with."""

    type = "m.login.token"

    def __init__(self, tokens: ShortTokens, *, get_login_token: bool) -> None:
        self._tokens = tokens
        self._get_login_token = get_login_token

    def flows(self) -> Sequence[Mapping[str, Any]]:
        """Offered where sessions may ask for tokens; single sign-on offers it itself."""
        return [{"type": self.type, "get_login_token": True}] if self._get_login_token else []

    async def authenticate(self, credentials: Credentials) -> UserID:
        """The user whom the token was issued for."""
        if credentials.token is None:
            raise MissingParam("token is missing")
        return await self._tokens.redeem_login(credentials.token)


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


async def _counted(limiter: RateLimiter, name: str, key: str) -> None:
    pending = limiter.check(name, key)
    if pending is not None:
        await pending
