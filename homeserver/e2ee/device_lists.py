"""Whose keys have changed, and who has come into or gone out of a user's circle: those who share a room with them.

A change of keys is a row of the log (DEVICE_LIST or CROSS_SIGNING) whose payload is the local users who see it, and a
row of its own, which `/sync` and `/keys/changes` read.
Spec: https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from homeserver.e2ee.circles import MembershipMoves
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.runtime.notifier import LogKind, Notifier
from storage import device_keys
from storage import device_lists as rows
from storage.database import Database
from storage.transaction import Slot, Transaction


class Changes(NamedTuple):
    """`changed`: ask for their keys again; `left`: no room is shared with them any more."""

    changed: set[UserID]
    left: set[UserID]


class DeviceLists:
    """Records changes of keys, and answers who is concerned by them."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._moves = MembershipMoves(notifier)

    def has_moved(self, position: int) -> bool:
        """Whether memberships may have moved after `position`, wherever."""
        return self._moves.has_moved(position)

    def moved_since(self, position: int) -> Collection[RoomID] | None:
        """The rooms in which memberships moved after `position`; None if nobody remembers."""
        return self._moves.since(position)

    async def changes(self, viewer: UserID, after: int, until: int) -> Changes:
        """What the viewer's clients have to know of (after, until]."""
        return await self._db.read(_changes, viewer, after, until, self._moves.since(after))


def record_device(txn: Transaction, user_id: UserID, device_id: DeviceID) -> Slot:
    """The keys of a device have changed, come or gone."""
    slot = txn.log(
        LogKind.DEVICE_LIST, user_id=user_id, ref=device_id, payload=rows.local_users_sharing(txn, user_id)
    )
    rows.record(txn, user_id, device_id, slot)
    rows.forget_old_changes(txn, user_id)
    return slot


def record_cross_signing(txn: Transaction, user_id: UserID) -> Slot:
    """The user's cross-signing keys have changed, come or gone."""
    slot = txn.log(LogKind.CROSS_SIGNING, user_id=user_id, payload=rows.local_users_sharing(txn, user_id))
    rows.record(txn, user_id, "", slot)
    rows.forget_old_changes(txn, user_id)
    return slot


def record_signing(txn: Transaction, signer: UserID, user_id: UserID) -> None:
    """The signer has signed a key of another user, which only the signer can see."""
    slot = txn.log(LogKind.CROSS_SIGNING, user_id=signer, ref=user_id, payload=frozenset({signer}))
    rows.record(txn, user_id, "", slot, viewer=signer)


def device_changed(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    """A device has come, gone or been renamed. Without keys it does not exist for others."""
    if device_keys.find(txn, user_id, device_id) is None:
        txn.log(LogKind.DEVICE_LIST, user_id=user_id, ref=device_id, payload=frozenset[UserID]())
    else:
        record_device(txn, user_id, device_id)


def _changes(
    txn: Transaction, viewer: UserID, after: int, until: int, moved: Collection[RoomID] | None
) -> Changes:
    changed = rows.changed_users(txn, viewer, after, until)
    if moved is not None and not moved:
        return Changes(changed, set())
    sharing = rows.sharing_changes(txn, viewer, after, until, moved_rooms=moved)
    return Changes(changed | sharing.gained, sharing.lost)
