"""Accounts as such: finding them, their passwords, and what administrators may do to them."""

from __future__ import annotations

from homeserver.errors import Forbidden, MatrixError, NotFound, UserLocked
from homeserver.http.requester import Requester
from homeserver.ids import UserID
from homeserver.users import session_events
from homeserver.users.passwords import Passwords
from homeserver.users.sessions import Sessions
from storage import users
from storage.database import Database
from storage.transaction import Transaction
from storage.users import Account


class UserDeactivated(MatrixError):
    status = 403
    errcode = "M_USER_DEACTIVATED"


def check_may_log_in(account: Account) -> None:
    """Refuse whom no proof of identity lets in.

    Raises:
        UserDeactivated, UserLocked, Forbidden: according to what is the matter.
    """
    if account.is_deactivated:
        raise UserDeactivated("this account has been deactivated")
    if account.is_locked:
        raise UserLocked()
    if not account.is_approved:
        raise Forbidden("this account has not been approved yet", errcode="M_USER_AWAITING_APPROVAL")


class Accounts:
    """Reads and changes accounts."""

    def __init__(self, db: Database, passwords: Passwords, sessions: Sessions) -> None:
        self._db = db
        self._passwords = passwords
        self._sessions = sessions

    async def find(self, user_id: UserID) -> Account | None:
        return await self._db.read(users.find, user_id)

    async def load(self, user_id: UserID) -> Account:
        """An account, deactivated or not.

        Raises:
            NotFound: there is none.
        """
        account = await self.find(user_id)
        if account is None:
            raise NotFound(f"no user {user_id}")
        return account

    async def check_password(self, account: Account | None, password: str) -> Account:
        """Verify a password, and bring the stored hash up to date if it is right; the account that it opens.

        Raises:
            Forbidden: it is wrong, or there is no such account; neither is told apart, nor by the time it
            takes.
        """
        password_hash = None if account is None else account.password_hash
        correct = await self._passwords.is_correct(password, password_hash)
        if not correct or account is None or password_hash is None:
            raise Forbidden("invalid username or password")
        if self._passwords.needs_rehash(password_hash):
            await self._db.run(
                _replace_hash, account.user_id, password_hash, await self._passwords.hash(password)
            )
        return account

    def check_strength(self, password: str) -> None:
        """Refuse what may not become a password.

        Raises:
            WeakPassword: it is too weak.
        """
        self._passwords.check_strength(password)

    async def set_password(
        self, user_id: UserID, password: str | None, *, logout_devices: bool, by: Requester | None = None
    ) -> None:
        """Give an account another password, or with None no more; `by` keeps their session if it is theirs.

        Raises:
            WeakPassword: it is too weak.
            NotFound: there is no such account.
        """
        password_hash = None
        if password is not None:
            self._passwords.check_strength(password)
            password_hash = await self._passwords.hash(password)
        kept = by if by is not None and by.user_id == user_id else None
        await self._db.run(self._set_password, user_id, password_hash, kept, logout_devices=logout_devices)

    async def set_locked(self, user_id: UserID, *, locked: bool) -> None:
        """Lock an account, or open it again; its tokens outlive the lock, but what waits with one ends."""
        await self._db.run(_set_flag, user_id, "locked", value=locked)

    async def set_suspended(self, user_id: UserID, *, suspended: bool) -> None:
        """Suspend an account, or end that."""
        await self._db.run(_set_flag, user_id, "suspended", value=suspended)

    async def set_admin(self, user_id: UserID, *, admin: bool) -> None:
        """Make a user an administrator of the server, or one no more."""
        await self._db.run(_set_flag, user_id, "admin", value=admin)

    async def set_shadow_banned(self, user_id: UserID, *, shadow_banned: bool) -> None:
        """Have the server drop what the user does without telling them, or end that."""
        await self._db.run(_set_flag, user_id, "shadow_banned", value=shadow_banned)

    async def set_approved(self, user_id: UserID, *, approved: bool) -> None:
        """Let a user in who waited for it, or take that back."""
        await self._db.run(_set_flag, user_id, "approved", value=approved)

    async def set_user_type(self, user_id: UserID, user_type: str | None) -> None:
        """Say what an account is for (bot, support...)."""
        await self._db.run(_set_user_type, user_id, user_type)

    async def has_password(self, user_id: UserID) -> bool:
        """Whether the user can log in by password."""
        account = await self.find(user_id)
        return self._passwords.are_enabled and account is not None and account.password_hash is not None

    def _set_password(
        self,
        txn: Transaction,
        user_id: UserID,
        password_hash: str | None,
        kept: Requester | None,
        *,
        logout_devices: bool,
    ) -> None:
        if not users.update(txn, user_id, password_hash=password_hash):
            raise NotFound(f"no user {user_id}")
        if logout_devices:
            self._sessions.end_all_in(txn, user_id, kept)


def _replace_hash(txn: Transaction, user_id: UserID, old: str, new: str) -> None:
    account = users.find(txn, user_id)
    # The password may have been changed while the new hash was made.
    if account is not None and account.password_hash == old:
        users.update(txn, user_id, password_hash=new)


def _set_user_type(txn: Transaction, user_id: UserID, user_type: str | None) -> None:
    if not users.update(txn, user_id, user_type=user_type):
        raise NotFound(f"no user {user_id}")


def _set_flag(txn: Transaction, user_id: UserID, flag: str, *, value: bool) -> None:
    if not users.update(txn, user_id, **{flag: value}):
        raise NotFound(f"no user {user_id}")
    if flag == "locked" and value:
        session_events.log_locked(txn, user_id)
    else:
        session_events.log_account_changed(txn, user_id)
