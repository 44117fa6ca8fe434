"""What people do with their own account in the browser: their name, their devices, its end.

Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management
"""

from __future__ import annotations

from homeserver.errors import NotFound
from homeserver.ids import UserID
from homeserver.users.accounts import Accounts
from homeserver.users.deactivation import Deactivation
from homeserver.users.devices import Devices
from homeserver.users.password_attempts import PasswordAttempts
from homeserver.users.profiles import DISPLAY_NAME, Profiles
from storage.devices import Device


class SelfService:
    """The account page's work."""

    def __init__(
        self,
        accounts: Accounts,
        devices: Devices,
        profiles: Profiles,
        deactivation: Deactivation,
        attempts: PasswordAttempts,
    ) -> None:
        self._accounts = accounts
        self._devices = devices
        self._profiles = profiles
        self._deactivation = deactivation
        self._attempts = attempts

    @property
    def may_rename(self) -> bool:
        """Whether people may change their display name."""
        return self._profiles.may_change(DISPLAY_NAME)

    async def has_password(self, user_id: UserID) -> bool:
        return await self._accounts.has_password(user_id)

    async def display_name(self, user_id: UserID) -> str:
        """What somebody is called; nothing if they have no name."""
        try:
            return str(await self._profiles.load_field(user_id, DISPLAY_NAME))
        except NotFound:
            return ""

    async def rename(self, user_id: UserID, name: str) -> None:
        """Give them another name.

        Raises:
            MatrixError: it is too long, or names cannot be changed here.
        """
        await self._profiles.set_field(user_id, DISPLAY_NAME, name)

    async def list_devices(self, user_id: UserID) -> list[Device]:
        """Their devices, latest first."""
        return list(reversed(await self._devices.list_of_user(user_id)))

    async def load_device(self, user_id: UserID, device_id: str) -> Device:
        """One of them.

        Raises:
            NotFound: they have none of this ID.
        """
        return await self._devices.load(user_id, device_id)

    async def log_out_device(self, user_id: UserID, device_id: str) -> None:
        await self._devices.delete(user_id, [device_id])

    async def deactivate(self, user_id: UserID, password: str) -> None:
        """End the account of somebody who enters their password again, if they have one.

        Raises:
            Forbidden: it is wrong.
            LimitExceeded: too often.
        """
        if await self._accounts.has_password(user_id):
            account = await self._accounts.load(user_id)
            await self._attempts.check(account, password, name=user_id)
        await self._deactivation.deactivate(user_id, erase=False)
