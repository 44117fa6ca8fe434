"""Signing up and signing in, with a password or with a code that was mailed.

Sessions of this API live for as long as they are used: an access token for a while, and a refresh token beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.registration import AllowedThreepid
from homeserver.errors import MissingParam
from homeserver.http.rate_limit import RateLimiter
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.users.accounts import Accounts, check_may_log_in
from homeserver.users.identifiers import Identifiers, canonical_email
from homeserver.users.login import Credentials, Login
from homeserver.users.mail.codes import BadCode, CodePurpose, EmailCodes
from homeserver.users.mail.validation import EMAIL as MEDIUM
from homeserver.users.mail.validation import ThreepidInUse, check_allowed
from homeserver.users.open_registration import OpenRegistration, Wish
from homeserver.users.registration_policy import EMAIL
from homeserver.users.sessions import NewSession, Session, Sessions
from homeserver.users.short_tokens import ShortTokens

CODES_PER_DAY = "email_code_per_day"
_MAX_KEY = 254


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Who signs up; with an address and its code nobody needs a password, or a name of their own choice."""

    username: str | None
    password: str | None
    nickname: str | None
    email: str | None
    code: str | None


def sliding(device_id: str | None, device_name: str | None) -> NewSession:
    """A session of this API.

    Raises:
        InvalidParam, TooLarge: the device cannot be called so.
    """
    wanted = NewSession.parse(device_id, device_name)
    return NewSession(wanted.device_id, wanted.display_name, slides=True)


class SigningUp:
    """Makes accounts."""

    def __init__(
        self,
        registration: OpenRegistration,
        identifiers: Identifiers,
        codes: EmailCodes,
        clock: Clock,
        limiter: RateLimiter,
        allowed: Sequence[AllowedThreepid],
    ) -> None:
        self._limiter = limiter
        self._registration = registration
        self._identifiers = identifiers
        self._codes = codes
        self._clock = clock
        self._allowed = allowed

    async def send_code(self, purpose: CodePurpose, address: str) -> None:
        """Mail a code.

        Raises:
            InvalidParam: it is no address.
            ThreepidDenied: the server does not want it.
            LimitExceeded: the last one was sent a moment ago, or there were too many today.
        """
        pending = self._limiter.check(CODES_PER_DAY, canonical_email(address)[:_MAX_KEY])
        if pending is not None:
            await pending
        if purpose is CodePurpose.REGISTER:
            check_allowed(self._allowed, canonical_email(address))
        await self._codes.send(purpose, address)

    async def register(
        self, person: NewPerson, session: NewSession, auth: Mapping[str, Any] | None
    ) -> Session:
        """Make an account with its first session.

        Raises:
            Forbidden: registration is disabled, or the account waits for approval.
            InvalidUsername, UserInUse, Exclusive: the name is not to be had.
            BadCode, CodeExpired, ThreepidInUse: the address was not proved.
            AuthenticationRequired: the server asks for more.
        """
        email, code = person.email, person.code
        if (email is None) != (code is None):
            raise MissingParam("code is missing" if code is None else "email is missing")

        async def prove() -> dict[str, Any]:
            address = await self._codes.redeem(CodePurpose.REGISTER, email or "", code or "")
            if await self._identifiers.find(_by_email(address)) is not None:
                raise ThreepidInUse("somebody here has this address")
            return {"medium": MEDIUM, "address": address, "validated_at": self._clock.now_ms()}

        wish = Wish(person.username, person.password, session, display_name=person.nickname)
        stage = None if email is None else EMAIL
        _, begun = await self._registration.register_with(wish, stage, prove, auth)
        assert begun is not None
        return begun


class SigningIn:
    """Begins sessions."""

    def __init__(
        self,
        login: Login,
        sessions: Sessions,
        accounts: Accounts,
        identifiers: Identifiers,
        codes: EmailCodes,
        short_tokens: ShortTokens,
    ) -> None:
        self._login = login
        self._sessions = sessions
        self._accounts = accounts
        self._identifiers = identifiers
        self._codes = codes
        self._short_tokens = short_tokens

    async def by_password(
        self, identifier: Mapping[str, Any], password: str | None, session: NewSession
    ) -> Session:
        """
        Raises:
            Forbidden: the name or the password is wrong.
            LimitExceeded: there were too many attempts.
        """
        credentials = Credentials(identifier, password)
        return await self._login.log_in("m.login.password", credentials, session)

    async def by_code(self, address: str, code: str, session: NewSession) -> Session:
        """
        Raises:
            BadCode, CodeExpired: the code is not good.
            UserDeactivated, UserLocked: the account may not be used.
        """
        return await self._sessions.begin(await self.owner(CodePurpose.LOGIN, address, code), session)

    async def token_by_code(self, address: str, code: str) -> dict[str, Any]:
        """A token with which a stock client logs in (`m.login.token`)."""
        user_id = await self.owner(CodePurpose.LOGIN, address, code)
        token = await self._short_tokens.issue_login(user_id)
        return {"login_token": token, "expires_in_ms": self._short_tokens.login_lifetime_ms}

    async def owner(self, purpose: CodePurpose, address: str, code: str) -> UserID:
        """Whose address a code proves; it is used up.

        Raises:
            BadCode, CodeExpired: the code is not good.
            UserDeactivated, UserLocked: the account may not be used.
        """
        proved = await self._codes.redeem(purpose, address, code)
        account = await self._identifiers.find(_by_email(proved))
        if account is None:
            raise BadCode("this code is wrong")
        check_may_log_in(account)
        return account.user_id


def _by_email(address: str) -> dict[str, Any]:
    return {"type": "m.id.thirdparty", "medium": MEDIUM, "address": address}
