"""An account in its owner's hands: another password, and the end. Both need more than an access token."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.errors import Forbidden, MissingParam
from homeserver.http.requester import Requester
from homeserver.ids import UserID
from homeserver.im.signing_in import SigningIn
from homeserver.users.accounts import Accounts
from homeserver.users.deactivation import Deactivation
from homeserver.users.mail.codes import CodePurpose
from homeserver.users.password_attempts import PasswordAttempts
from homeserver.users.threepids import Threepids


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that an account is one's own: its password, or a code that one of its addresses got."""

    password: str | None = None
    email: str | None = None
    code: str | None = None


class AccountKeeping:
    """Changes and ends accounts, for whoever proves that they are theirs."""

    def __init__(
        self,
        accounts: Accounts,
        attempts: PasswordAttempts,
        signing_in: SigningIn,
        deactivation: Deactivation,
        threepids: Threepids,
        *,
        may_change_password: bool,
    ) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._signing_in = signing_in
        self._deactivation = deactivation
        self._threepids = threepids
        self._may_change_password = may_change_password

    async def change_password(self, who: Requester, proof: Proof, new: str, *, logout_devices: bool) -> None:
        """Another password, for somebody who is logged in.

        Raises:
            Forbidden: the old one is wrong, or passwords are switched off.
            BadCode, CodeExpired: the code is.
            WeakPassword: the new one is too weak.
        """
        self._check_may_change(new)
        await self._check(who, CodePurpose.PASSWORD, proof)
        await self._accounts.set_password(who.user_id, new, logout_devices=logout_devices, by=who)

    async def reset_password(self, address: str, code: str, new: str, *, logout_devices: bool) -> None:
        """Another password, for somebody who has forgotten theirs.

        Raises:
            Forbidden: passwords are switched off.
            BadCode, CodeExpired: the code is wrong.
            WeakPassword: the new one is too weak.
        """
        self._check_may_change(new)
        owner = await self._signing_in.owner(CodePurpose.PASSWORD, address, code)
        await self._accounts.set_password(owner, new, logout_devices=logout_devices)

    async def end(self, who: Requester, proof: Proof, *, erase: bool) -> None:
        """End the account for good.

        Raises:
            Forbidden, BadCode, CodeExpired, MissingParam: nothing proves that it is theirs.
        """
        await self._check(who, CodePurpose.DELETE, proof)
        await self._deactivation.deactivate(who.user_id, erase=erase)

    def _check_may_change(self, new: str) -> None:
        if not self._may_change_password:
            raise Forbidden("passwords are switched off on this server")
        self._accounts.check_strength(new)

    async def _check(self, who: Requester, purpose: CodePurpose, proof: Proof) -> None:
        if proof.password is not None:
            account = await self._accounts.load(who.user_id)
            await self._attempts.check(account, proof.password, name=who.user_id)
            return
        if proof.code is None:
            raise MissingParam("password or code is missing")
        address = proof.email or await self._address(who.user_id)
        if await self._signing_in.owner(purpose, address, proof.code) != who.user_id:
            raise Forbidden("this address is not yours")

    async def _address(self, user_id: UserID) -> str:
        for one in await self._threepids.list_of_user(user_id):
            if one.medium == "email":
                return one.address
        raise Forbidden("this account has no address that a code could have gone to")
