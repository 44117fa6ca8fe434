"""A server that has accounts and nothing else, in memory and virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import config
from homeserver.app.users import UserParts, Users
from homeserver.http.endpoint import Auth
from homeserver.http.rate_limit import MemoryRateLimiter
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.registration import NewUser
from homeserver.users.sessions import NewSession, Session
from storage.database import Database
from tests.harness.client import Client
from tests.harness.watch import Watch

SERVER_NAME = "one.test"
PASSWORD = "correct horse battery staple"

SETTINGS: Mapping[str, Any] = {
    "server_name": SERVER_NAME,
    "enable_registration": True,
    "enable_registration_without_verification": True,
    "bcrypt_rounds": 4,
    "enable_rate_limits": False,
}


async def inline(fn: Any, *args: Any) -> Any:
    """Hash passwords where we stand."""
    return fn(*args)


class AccountServer:
    """Everything that belongs to accounts, with an HTTP server before it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        notifier: Notifier,
        tasks: Tasks,
        randomness: Randomness,
        parts: UserParts | None = None,
        **settings: Any,
    ) -> None:
        self.db = database
        self.clock = clock
        self.config = config.parse({**SETTINGS, **settings})
        limiter = MemoryRateLimiter(clock, self.config.rate_limits.classes())
        self.users = Users(
            self.config, database, clock, notifier, tasks, randomness, limiter, inline, parts or UserParts()
        )
        self.log: list[LogEntry] = []
        notifier.subscribe(self.log.extend)
        authenticator = self.users.authenticator
        router = Router(
            self.users.handlers(),
            {
                Auth.ACCESS_TOKEN: authenticator,
                Auth.ACCESS_TOKEN_OPTIONAL: authenticator,
                Auth.ADMIN: authenticator,
                Auth.APPSERVICE: authenticator.appservice,
            },
            limiter,
        )
        self._watch = Watch()
        # Twisted's interfaces are zope's, which mypy does not know for what they are.
        self._factory: Any = HttpServer(router, clock, write_access=lambda line: None)

    def client(self, access_token: str | None = None, *, address: str = "10.0.0.1") -> Client:
        """Somebody who speaks HTTP with the server."""
        return Client(self._factory, self._watch, access_token=access_token, address=address)

    async def session_of(self, name: str, **wanted: Any) -> Session:
        """A new session of a user, who is registered if need be."""
        user_id = user_id_of(name)
        if await self.users.accounts.find(user_id) is None:
            await self.users.registration.register(NewUser(user_id, PASSWORD), None)
        return await self.users.sessions.begin(user_id, NewSession(**wanted))

    async def user(self, name: str, **wanted: Any) -> Client:
        """A client that is logged in as a user, who is registered if need be."""
        return self.client((await self.session_of(name, **wanted)).access_token)

    def logged(self, kind: LogKind) -> list[tuple[str | None, str]]:
        """Whose entries of a kind the log has, and what they are about."""
        return [(entry.user_id, entry.ref) for entry in self.log if entry.kind == kind]


def user_id_of(name: str) -> UserID:
    return UserID(f"@{name}:{SERVER_NAME}")


def password_auth(name: str, session: str | None = None, password: str = PASSWORD) -> dict[str, Any]:
    """The `auth` object of somebody who enters their password."""
    auth: dict[str, Any] = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": password,
    }
    return auth if session is None else {**auth, "session": session}
