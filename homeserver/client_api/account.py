"""The account itself: its password, and its end.

Spec: https://spec.matrix.org/v1.19/client-server-api/#legacy-account-management
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import Forbidden, MissingToken
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID
from homeserver.users.accounts import Accounts
from homeserver.users.deactivation import Deactivation
from homeserver.users.identifiers import Identifiers
from homeserver.users.interactive_auth import InteractiveAuth, Proof
from homeserver.users.registration_policy import EMAIL, PHONE
from homeserver.users.stages import PASSWORD


class ChangePassword(msgspec.Struct):
    """A new password."""

    new_password: str
    logout_devices: bool = True
    auth: dict[str, Any] | None = None


class DeactivateAccount(msgspec.Struct):
    """A request to end the account."""

    auth: dict[str, Any] | None = None
    erase: bool = False
    id_server: str | None = None


class AccountEndpoints:
    """Changing the password, and deactivating the account."""

    def __init__(
        self,
        accounts: Accounts,
        identifiers: Identifiers,
        deactivation: Deactivation,
        interactive_auth: InteractiveAuth,
        *,
        may_change_password: bool = True,
    ) -> None:
        self._accounts = accounts
        self._identifiers = identifiers
        self._deactivation = deactivation
        self._auth = interactive_auth
        self._may_change_password = may_change_password

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password",
        auth=Auth.ACCESS_TOKEN_OPTIONAL,
        rate_limit=RateLimit("account_password"),
    )
    async def change_password(self, who: Requester | None, body: ChangePassword) -> Empty:
        """Change a password; who has forgotten theirs proves who they are by an address.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword
        """
        if not self._may_change_password:
            raise Forbidden("passwords are switched off on this server")
        operation, description = "POST /account/password", "change your password"
        if who is not None:
            async with self._auth.proven_by_user(operation, body.auth, who.user_id, description=description):
                await self._accounts.set_password(
                    who.user_id, body.new_password, logout_devices=body.logout_devices, by=who
                )
            return Empty()
        flows = [[stage] for stage in (EMAIL, PHONE) if stage in self._auth.stages]
        if not flows:
            raise MissingToken("no access token, and no other way to say who you are")
        async with self._auth.proven(operation, flows, body.auth, description=description) as proof:
            await self._accounts.set_password(
                await self._owner(proof), body.new_password, logout_devices=body.logout_devices
            )
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/deactivate",
        auth=Auth.ACCESS_TOKEN_OPTIONAL,
        rate_limit=RateLimit("account_deactivate"),
    )
    async def deactivate_account(self, who: Requester | None, body: DeactivateAccount) -> dict[str, str]:
        """End an account for good.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
        """
        operation, description = "POST /account/deactivate", "deactivate your account"
        if who is None:
            async with self._auth.proven(
                operation, [[PASSWORD]], body.auth, description=description
            ) as proof:
                return await self._deactivate(UserID(proof.results[PASSWORD]), body)
        if who.appservice_id is not None:
            return await self._deactivate(who.user_id, body)
        async with self._auth.proven_by_user(operation, body.auth, who.user_id, description=description):
            return await self._deactivate(who.user_id, body)

    async def _deactivate(self, user_id: UserID, body: DeactivateAccount) -> dict[str, str]:
        unbound = await self._deactivation.deactivate(user_id, erase=body.erase, id_server=body.id_server)
        return {"id_server_unbind_result": "success" if unbound else "no-support"}

    async def _owner(self, proof: Proof) -> UserID:
        """Whose address was proved."""
        for stage in (EMAIL, PHONE):
            proved = proof.results.get(stage)
            if isinstance(proved, dict):
                account = await self._identifiers.find({"type": "m.id.thirdparty", **proved})
                if account is not None:
                    return account.user_id
        raise Forbidden("nobody here has this address")
