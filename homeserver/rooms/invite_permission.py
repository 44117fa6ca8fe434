"""Who may invite whom: users may want no invitations, and a server only those of its administrators.

Spec: https://spec.matrix.org/v1.19/client-server-api/#invite-permission
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.ids import ServerName, UserID, domain_of
from storage import account_data, users
from storage.database import Database

INVITE_PERMISSION = "m.invite_permission_config"


class InviteBlocked(Forbidden):
    errcode = "M_INVITE_BLOCKED"


class AdministratorsInvite:
    """Leaves inviting to the administrators of this server."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def check(self, inviter: UserID, invitee: UserID, content: Mapping[str, Any]) -> None:
        """
        Raises:
            Forbidden: the inviter is no administrator of this server.
        """
        account = await self._db.read(users.find, inviter)
        if account is None or not account.is_admin:
            raise Forbidden("only administrators may invite here")


class InvitePermission:
    """Says no in the name of those who want none."""

    def __init__(self, db: Database, *, server_name: ServerName) -> None:
        self._db = db
        self._server_name = server_name

    async def check(self, inviter: UserID, invitee: UserID, _content: Mapping[str, Any]) -> None:
        """
        Raises:
            InviteBlocked: the invitee blocks invitations.
        """
        if domain_of(invitee) != self._server_name:
            return
        content = await self._db.read(account_data.find, invitee, None, INVITE_PERMISSION)
        config = None if content is None else msgspec.json.decode(content)
        if isinstance(config, dict) and config.get("default_action") == "block":
            raise InviteBlocked(f"{invitee} does not accept invitations")
