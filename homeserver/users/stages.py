"""The stages of user-interactive authentication that need nothing from outside: password, dummy, terms,
token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import BadJson, MissingParam
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.users.accounts import Accounts
from homeserver.users.fallback import Form, FormField
from homeserver.users.identifiers import Identifiers
from homeserver.users.interactive_auth import StageRefused
from homeserver.users.password_attempts import PasswordAttempts
from storage import registration_tokens
from storage.database import Database
from storage.uia import AuthSession

DUMMY = "m.login.dummy"
PASSWORD = "m.login.password"  # noqa: S105  # the name of a stage
TERMS = "m.login.terms"
REGISTRATION_TOKEN = "m.login.registration_token"  # noqa: S105  # the name of a stage


class BaseStage:
    """A stage that nobody passes to prove who they are, and that leaves nothing behind."""

    type = ""

    async def params(self, session: AuthSession) -> Mapping[str, Any] | None:
        """Nothing to know."""
        return None

    async def is_available_to(self, user_id: UserID) -> bool:
        """Not a proof of identity."""
        return False

    async def fallback_form(self, session: AuthSession) -> Form | None:
        """No page."""
        return None

    async def abandoned(self, session: AuthSession) -> None:
        """Nothing to undo."""


class DummyStage(BaseStage):
    """Passed by whoever asks."""

    type = DUMMY

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """Always succeeds."""
        return True

    async def fallback_form(self, session: AuthSession) -> Form:
        """A button."""
        return Form("Nothing is asked of you.", "Continue")


class PasswordStage(BaseStage):
    """The user enters their password again."""

    type = PASSWORD

    def __init__(self, accounts: Accounts, attempts: PasswordAttempts, identifiers: Identifiers) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._identifiers = identifiers

    async def is_available_to(self, user_id: UserID) -> bool:
        """Whoever has a password can use it."""
        return await self._accounts.has_password(user_id)

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """The password must be the session's user's, whom the identifier must name; the result is who it is.

        Raises:
            Forbidden: it is wrong, or another user's.
        """
        password = auth.get("password")
        if not isinstance(password, str):
            raise BadJson("auth.password must be a string")
        identifier = auth.get("identifier")
        if identifier is None:
            # COMPAT(clients): before r0.4 the user was named by `user`; some clients leave even that out.
            identifier = {"type": "m.id.user", "user": auth.get("user", session.user_id)}
        if not isinstance(identifier, dict):
            raise BadJson("auth.identifier must be an object")
        account = await self._identifiers.find(identifier)
        if session.user_id is not None and (account is None or account.user_id != session.user_id):
            raise StageRefused("the password must be your own")
        name = repr(sorted(identifier.items(), key=repr))
        return (await self._attempts.check(account, password, name=name)).user_id

    async def fallback_form(self, session: AuthSession) -> Form:
        """The password; the user's name too, unless the session knows it."""
        fields = [FormField("password", "Password", "password")]
        if session.user_id is None:
            fields.insert(0, FormField("user", "Username"))
        return Form(f"Enter your password to {session.description}.", "Continue", fields=fields)


class TermsStage(BaseStage):
    """The user accepts the server's policies; `policies` is what the specification calls so."""

    type = TERMS

    def __init__(self, policies: Mapping[str, Any]) -> None:
        self._policies = policies

    async def params(self, session: AuthSession) -> Mapping[str, Any]:
        """The documents to accept."""
        return {"policies": self._policies}

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """The client says that they were accepted; which versions they had is remembered."""
        return {name: policy.get("version") for name, policy in self._policies.items()}

    async def fallback_form(self, session: AuthSession) -> Form:
        """Links to the documents; of several languages, the first."""
        links = []
        for policy in self._policies.values():
            document = next(value for value in policy.values() if isinstance(value, dict))
            links.append((document["name"], document["url"]))
        return Form("Please read these documents.", "I accept", links=links)


class RegistrationTokenStage(BaseStage):
    """The user has been given a token by an administrator."""

    type = REGISTRATION_TOKEN

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        """The token must have a use left, which the session holds until it ends.

        Raises:
            StageRefused: it has none, or is unknown.
        """
        token = auth.get("token")
        if token is None:
            raise MissingParam("auth.token is missing")
        if not isinstance(token, str):
            raise BadJson("auth.token must be a string")
        if not await self._db.run(_reserve, token, self._clock.now_ms()):
            raise StageRefused("this registration token is not valid", errcode="M_UNAUTHORIZED")
        return token

    async def fallback_form(self, session: AuthSession) -> Form:
        """The token."""
        return Form(
            "You need a registration token.", "Continue", fields=[FormField("token", "Registration token")]
        )

    async def abandoned(self, session: AuthSession) -> None:
        """The use is free again."""
        for stage, token in session.completed:
            if stage == self.type:
                await self._db.run(registration_tokens.cancel, token)


def _reserve(txn: Any, token: str, now_ms: int) -> bool:
    return "\0" not in token and registration_tokens.reserve(txn, token, now_ms=now_ms)
