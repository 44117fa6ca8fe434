"""What administrators of the server may see of, and do to, other users' accounts.

Spec: https://spec.matrix.org/v1.19/client-server-api/#account-moderation
"""

from __future__ import annotations

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import ServerName, UserID, domain_of
from homeserver.users.accounts import Accounts
from storage.users import Account


class AccountModeration:
    """Locks and suspends accounts on behalf of an administrator, whom the caller has made sure of."""

    def __init__(self, accounts: Accounts, server_name: ServerName) -> None:
        self._accounts = accounts
        self._server_name = server_name

    async def load(self, user_id: UserID) -> Account:
        """An account that administrators may moderate.

        Raises:
            InvalidParam: the user is another server's.
            NotFound: there is no such user, or none any more.
            Forbidden: the user is an administrator.
        """
        account = await self.look_at(user_id)
        if account.is_deactivated:
            raise NotFound(f"no user {user_id}")
        if account.is_admin:
            raise Forbidden(f"{user_id} is an administrator of this server")
        return account

    async def look_at(self, user_id: UserID) -> Account:
        """An account, whatever has become of it.

        Raises:
            InvalidParam: the user is another server's.
            NotFound: there is no such user.
        """
        if domain_of(user_id) != self._server_name:
            raise InvalidParam(f"{user_id} is not a user of this server")
        account = await self._accounts.find(user_id)
        if account is None:
            raise NotFound(f"no user {user_id}")
        return account

    async def set_locked(self, by: UserID, user_id: UserID, *, locked: bool) -> None:
        """Lock an account, or open it again.

        Raises:
            Forbidden: it is the administrator's own, or another administrator's.
        """
        await self._check_other(by, user_id)
        await self._accounts.set_locked(user_id, locked=locked)

    async def set_suspended(self, by: UserID, user_id: UserID, *, suspended: bool) -> None:
        """Suspend an account, or end that.

        Raises:
            Forbidden: it is the administrator's own, or another administrator's.
        """
        await self._check_other(by, user_id)
        await self._accounts.set_suspended(user_id, suspended=suspended)

    async def _check_other(self, by: UserID, user_id: UserID) -> None:
        if by == user_id:
            raise Forbidden("you cannot moderate your own account")
        await self.load(user_id)
