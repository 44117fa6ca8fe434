"""The end of an account: nobody can log in to it again, and what it kept here is deleted.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from homeserver.errors import NotFound
from homeserver.ids import UserID
from homeserver.runtime.notifier import LogKind
from homeserver.users import session_events
from homeserver.users.sessions import Sessions
from storage import account_data, filters, profiles, push_rules, threepids, tokens, users
from storage.database import Database
from storage.transaction import Transaction

AccountCleanup = Callable[[Transaction, UserID], None]
"""Deletes what belongs to an account that ends (pushers, key backups, ...), in the same transaction."""

Listener = Callable[[UserID], None]
"""Told that a deactivated user has rooms to leave (`storage.users.list_departing` has all of them)."""


class Unbinder(Protocol):
    """Tells identity servers to forget addresses."""

    async def unbind_all(self, user_id: UserID, id_server: str | None) -> bool:
        """Whether every one of the user's bindings is undone."""


class Deactivation:
    """Deactivates accounts, and brings them back if an administrator wishes."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        *,
        cleanups: Sequence[AccountCleanup] = (),
        unbinder: Unbinder | None = None,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._cleanups = tuple(cleanups)
        self._unbinder = unbinder
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` take deactivated users out of their rooms."""
        self._listeners.append(listener)

    async def deactivate(self, user_id: UserID, *, erase: bool, id_server: str | None = None) -> bool:
        """Deactivate an account; whether identity servers know none of its addresses any more.

        Raises:
            NotFound: there is no such account.
        """
        bindings = await self._db.read(threepids.list_bindings, user_id)
        unbound = not bindings
        if bindings and self._unbinder is not None:
            unbound = await self._unbinder.unbind_all(user_id, id_server)
        await self._db.run(self._deactivate, user_id, erase=erase)
        for listener in self._listeners:
            listener(user_id)
        return unbound

    async def reactivate(self, user_id: UserID, password_hash: str | None) -> None:
        """Bring a deactivated account back, empty as it is.

        Raises:
            NotFound: there is no such account.
        """
        await self._db.run(_reactivate, user_id, password_hash)

    def _deactivate(self, txn: Transaction, user_id: UserID, *, erase: bool) -> None:
        account = users.find(txn, user_id)
        if account is None:
            raise NotFound(f"no user {user_id}")
        users.update(
            txn, user_id, deactivated=True, erased=account.is_erased or erase, password_hash=None, admin=False
        )
        session_events.log_gone(txn, user_id)
        self._sessions.end_all_in(txn, user_id, None)
        tokens.delete_short_of_user(txn, user_id)
        threepids.delete_of_user(txn, user_id)
        filters.delete_of_user(txn, user_id)
        push_rules.delete_of_user(txn, user_id)
        account_data.delete_of_user(txn, user_id)
        if erase:
            for field in profiles.list_fields(txn, user_id):
                txn.log(LogKind.PROFILE, user_id=user_id, ref=field)
            profiles.delete_of_user(txn, user_id)
        for cleanup in self._cleanups:
            cleanup(txn, user_id)
        users.add_departing(txn, user_id)


def _reactivate(txn: Transaction, user_id: UserID, password_hash: str | None) -> None:
    if not users.update(txn, user_id, deactivated=False, erased=False, password_hash=password_hash):
        raise NotFound(f"no user {user_id}")
    users.remove_departing(txn, user_id)
