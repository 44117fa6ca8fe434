"""What a user has settled about the IM API: who may add them, who sees that they read, and the like."""

from __future__ import annotations

from typing import Any

from homeserver.ids import NAMESPACE, UserID
from homeserver.im.own_data import OwnData, find
from storage.database import Database
from storage.transaction import Transaction

SETTINGS = f"{NAMESPACE}settings"
INVITE_PERMISSION = "m.invite_permission_config"
"""Spec: https://spec.matrix.org/v1.19/client-server-api/#invite-permission"""
IGNORED = "m.ignored_user_list"

DEFAULTS: dict[str, Any] = {
    "read_receipts": True,
    "auto_join_groups": False,
    "who_can_add_me": "everybody",
    "discoverable": False,
    "show_friends": True,
    "moments_range": "all",
}


class Settings:
    """Reads and changes settings."""

    def __init__(self, db: Database, own: OwnData) -> None:
        self._db = db
        self._own = own

    async def load(self, user_id: UserID) -> dict[str, Any]:
        """Every setting."""
        return await self._db.read(load_in, user_id)

    async def merge(self, user_id: UserID, changes: dict[str, Any]) -> None:
        """Change some settings. Stock servers and clients know "nobody may add me" as well."""
        await self._own.merge(user_id, None, SETTINGS, changes)
        if "who_can_add_me" in changes:
            nobody = changes["who_can_add_me"] == "nobody"
            await self._own.merge(
                user_id, None, INVITE_PERMISSION, {"default_action": "block" if nobody else None}
            )


def load_in(txn: Transaction, user_id: UserID) -> dict[str, Any]:
    kept = find(txn, user_id, None, SETTINGS)
    found = {
        key: kept[key] if type(kept.get(key)) is type(default) else default
        for key, default in DEFAULTS.items()
    }
    if find(txn, user_id, None, INVITE_PERMISSION).get("default_action") == "block":
        found["who_can_add_me"] = "nobody"
    return found


def ignored_by(txn: Transaction, user_id: UserID) -> frozenset[UserID]:
    """Whom the user blocks."""
    users = find(txn, user_id, None, IGNORED).get("ignored_users")
    return frozenset(UserID(user) for user in users) if isinstance(users, dict) else frozenset()


def is_blocking(txn: Transaction, user_id: UserID, other: UserID) -> bool:
    return other in ignored_by(txn, user_id)
