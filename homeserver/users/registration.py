"""Making accounts, in one transaction with everything that belongs to a new one.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.ids import UserID, localpart_of
from homeserver.runtime.clock import Clock
from homeserver.users import session_events
from homeserver.users.passwords import Passwords
from homeserver.users.profiles import DISPLAY_NAME, Profiles
from homeserver.users.sessions import NewSession, Session, Sessions
from homeserver.users.stages import REGISTRATION_TOKEN, TERMS
from homeserver.users.usernames import UserInUse
from storage import registration_tokens, threepids, upstream, users
from storage.database import Database
from storage.threepids import Threepid
from storage.transaction import Transaction
from storage.users import Account

UPSTREAM = "im.hearth.upstream"
"""The result of a login through an upstream provider: its ID, and the user's there."""

_ADDRESSES = {"m.login.email.identity": "email", "m.login.msisdn": "msisdn"}


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made; `results` are those of the stages that were passed for it.

    Without a `display_name` it is the localpart.
    """

    user_id: UserID
    password: str | None = None
    display_name: str | None = None
    appservice_id: str | None = None
    user_type: str | None = None
    is_guest: bool = False
    is_admin: bool = False
    is_approved: bool = True
    results: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[NewUser], Awaitable[None]]
"""Told of an account after it has been made; the answer to the client waits for it."""


class Registration:
    """Makes accounts for whoever may have one; who may is up to the caller."""

    def __init__(
        self, db: Database, clock: Clock, passwords: Passwords, sessions: Sessions, profiles: Profiles
    ) -> None:
        self._db = db
        self._clock = clock
        self._passwords = passwords
        self._sessions = sessions
        self._profiles = profiles
        self._listeners: list[Listener] = []

    def check_strength(self, password: str) -> None:
        """
        Raises:
            WeakPassword: it may not become a password.
        """
        self._passwords.check_strength(password)

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` do what else is due to a new user: joining rooms, a welcome."""
        self._listeners.append(listener)

    async def register(self, user: NewUser, wanted: NewSession | None) -> Session | None:
        """Make an account and, if one is wanted, its first session.

        Raises:
            UserInUse: the user ID is taken.
            WeakPassword: the password is too weak.
        """
        password_hash = None
        if user.password is not None:
            self._passwords.check_strength(user.password)
            password_hash = await self._passwords.hash(user.password)
        session: Session | None = await self._db.run(self._create, user, password_hash, wanted)
        for listener in self._listeners:
            await listener(user)
        return session

    async def upgrade_guest(self, user: NewUser, wanted: NewSession | None) -> Session | None:
        """Make a full account of a guest's.

        Raises:
            Forbidden: there is no guest of this name.
            WeakPassword: the password is too weak.
        """
        password_hash = None
        if user.password is not None:
            self._passwords.check_strength(user.password)
            password_hash = await self._passwords.hash(user.password)
        session: Session | None = await self._db.run(self._upgrade, user, password_hash, wanted)
        return session

    def _create(
        self, txn: Transaction, user: NewUser, password_hash: str | None, wanted: NewSession | None
    ) -> Session | None:
        account = Account(
            user.user_id,
            self._clock.now_ms(),
            password_hash,
            user.appservice_id,
            user.user_type,
            is_guest=user.is_guest,
            is_admin=user.is_admin,
            is_approved=user.is_approved,
        )
        if not users.create(txn, account):
            raise UserInUse(f"{user.user_id} is taken")
        if not user.is_guest:
            name = user.display_name or localpart_of(user.user_id)
            self._profiles.save_in(txn, user.user_id, DISPLAY_NAME, name)
        self._record_results(txn, user)
        return None if wanted is None else self._sessions.begin_in(txn, user.user_id, wanted)

    def _upgrade(
        self, txn: Transaction, user: NewUser, password_hash: str | None, wanted: NewSession | None
    ) -> Session | None:
        account = users.find(txn, user.user_id)
        if account is None or not account.is_guest or account.is_deactivated:
            raise Forbidden(f"{user.user_id} is no guest")
        users.update(txn, user.user_id, guest=False, password_hash=password_hash)
        self._record_results(txn, user)
        session_events.log_account_changed(txn, user.user_id)
        return None if wanted is None else self._sessions.begin_in(txn, user.user_id, wanted)

    def _record_results(self, txn: Transaction, user: NewUser) -> None:
        """What the stages have proved becomes the account's: addresses, consent, the use of a token."""
        now_ms = self._clock.now_ms()
        for stage, medium in _ADDRESSES.items():
            proved = user.results.get(stage)
            if isinstance(proved, dict) and proved.get("medium") == medium:
                threepids.add(
                    txn, user.user_id, Threepid(medium, proved["address"], proved["validated_at"], now_ms)
                )
        if UPSTREAM in user.results:
            provider, subject = user.results[UPSTREAM]
            if not upstream.link(txn, provider, subject, user.user_id):
                raise Forbidden("you have just got an account in another browser")
        if TERMS in user.results:
            version = msgspec.json.encode(user.results[TERMS], order="sorted").decode()
            users.update(txn, user.user_id, consent_version=version, consent_ms=now_ms)
        if REGISTRATION_TOKEN in user.results:
            registration_tokens.complete(txn, user.results[REGISTRATION_TOKEN])
