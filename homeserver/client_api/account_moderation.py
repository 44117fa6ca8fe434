"""Locking, suspending and looking into accounts, for administrators of the server.

Spec: https://spec.matrix.org/v1.19/client-server-api/#server-administration
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.requester import Requester
from homeserver.ids import UserID
from homeserver.users.account_moderation import AccountModeration
from homeserver.users.devices import Devices

_LOCK = "/_matrix/client/v1/admin/lock/{user_id}"
_SUSPEND = "/_matrix/client/v1/admin/suspend/{user_id}"
_UNSTABLE = "/_matrix/client/unstable/uk.timedout.msc4323/admin/"


class Locked(msgspec.Struct):
    """Whether an account is locked."""

    locked: bool


class Suspended(msgspec.Struct):
    """Whether an account is suspended."""

    suspended: bool


class AccountModerationEndpoints:
    """Moderating accounts."""

    def __init__(self, moderation: AccountModeration, devices: Devices) -> None:
        self._moderation = moderation
        self._devices = devices

    @endpoint("GET", _LOCK, auth=Auth.ADMIN, aliases=(_UNSTABLE + "lock/{user_id}",))
    async def get_admin_lock_user(self, user_id: UserID) -> Locked:
        """Whether an account is locked.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminlockuserid
        """
        return Locked((await self._moderation.load(user_id)).is_locked)

    @endpoint("PUT", _LOCK, auth=Auth.ADMIN, aliases=(_UNSTABLE + "lock/{user_id}",))
    async def set_admin_lock_user(self, who: Requester, user_id: UserID, body: Locked) -> Locked:
        """Lock an account, or open it again.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminlockuserid
        """
        await self._moderation.set_locked(who.user_id, user_id, locked=body.locked)
        return body

    @endpoint("GET", _SUSPEND, auth=Auth.ADMIN, aliases=(_UNSTABLE + "suspend/{user_id}",))
    async def get_admin_suspend_user(self, user_id: UserID) -> Suspended:
        """Whether an account is suspended.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminsuspenduserid
        """
        return Suspended((await self._moderation.load(user_id)).is_suspended)

    @endpoint("PUT", _SUSPEND, auth=Auth.ADMIN, aliases=(_UNSTABLE + "suspend/{user_id}",))
    async def set_admin_suspend_user(self, who: Requester, user_id: UserID, body: Suspended) -> Suspended:
        """Suspend an account, or end that.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminsuspenduserid
        """
        await self._moderation.set_suspended(who.user_id, user_id, suspended=body.suspended)
        return body

    @endpoint("GET", "/_matrix/client/v3/admin/whois/{user_id}")
    async def get_who_is(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """Where a user's devices connected from: one's own, or for administrators anybody's.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3adminwhoisuserid
        """
        if who.user_id != user_id and not who.is_admin:
            raise Forbidden("only server administrators may look into other accounts")
        connections: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for seen in await self._devices.list_connections(user_id):
            connections[seen.device_id].append(
                {"ip": seen.ip, "last_seen": seen.seen_ms, "user_agent": seen.agent}
            )
        devices = {device: {"sessions": [{"connections": each}]} for device, each in connections.items()}
        return {"user_id": user_id, "devices": devices}
