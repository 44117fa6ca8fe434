"""Copies of remote users' device lists, kept up to date by what their servers tell us.

A copy is good as long as the user's server has had a reason to tell us of changes: there has been a room all along
that the user and one of ours are joined to. Otherwise, or when a message was lost, the list is asked for again at
the next query; clients are told of a change at once, so that there will be one.
Spec: https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import structlog

from federation.outbound.once import Once
from federation.wire.answers import UserDevices
from federation.wire.edus import DeviceListUpdate, SigningKeyUpdate
from homeserver.e2ee.device_lists import record_cross_signing, record_device
from homeserver.e2ee.key_forms import canonical, check_cross_signing_key
from homeserver.e2ee.remote_keys import RemoteKeys
from homeserver.errors import InvalidParam, RemoteError
from homeserver.ids import DeviceID, ServerName, UserID, domain_of, is_user_id
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import cross_signing, device_keys
from storage import device_lists as rows
from storage.cross_signing import MASTER, SELF_SIGNING, CrossSigningKey
from storage.database import Database
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

MAX_DEVICES = 1000
"""Devices of one remote user that we keep."""
MAX_NAME = 100
_ATTEMPTS = 3


class _Event(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def state_key(self) -> str | None: ...
    @property
    def content(self) -> dict[str, Any]: ...


class _Announced(Protocol):
    @property
    def event(self) -> _Event: ...


class Standing(NamedTuple):
    """Which of some remote users' copies are good, and whom else our server is told about."""

    good: set[UserID]
    shared: set[UserID]


class RemoteDevices:
    """Follows the devices of remote users who share rooms with ours."""

    def __init__(
        self, db: Database, notifier: Notifier, remote: RemoteKeys, *, server_name: ServerName
    ) -> None:
        self._db = db
        self._notifier = notifier
        self._remote = remote
        self._server_name = server_name
        self._good: set[UserID] = set()
        self._fetching: Once[UserID, None] = Once()
        # The newest changes that were announced of users while their lists are being fetched.
        self._announced: dict[UserID, int] = {}
        notifier.subscribe(self._on_entries)

    async def standing(self, user_ids: Iterable[UserID]) -> Standing:
        """Whose copies may be used as they are; the copies of others who share rooms can be had by `fetch`."""
        wanted = set(user_ids)
        good = wanted & self._good
        rest = sorted(wanted - good)
        if not rest:
            return Standing(good, good)
        found = await self._db.read(_standing, rest)
        # What moved since the snapshot is in the log by now, but a list that became outdated is marked so first.
        self._good |= found.good
        return Standing(good | found.good, good | found.shared)

    async def fetch(self, user_id: UserID) -> None:
        """Have a copy of the user's devices, and follow them from now on.

        Raises:
            RemoteError: the user's server does not answer.
        """
        await self._fetching.run(user_id, lambda: self._fetch(user_id))

    async def _fetch(self, user_id: UserID) -> None:
        server = domain_of(user_id)
        self._announced[user_id] = 0
        try:
            for _ in range(_ATTEMPTS):
                position = self._notifier.position
                answer = await self._remote.get_user_devices(server, user_id)
                if answer.user_id != user_id:
                    raise RemoteError(f"{server} answered for {answer.user_id} instead of {user_id}")
                await self._db.run(_replace, user_id, answer, position)
                if self._announced[user_id] <= answer.stream_id:
                    return
            # Changes come faster than they can be fetched.
            await self._db.run(rows.mark_outdated, user_id)
        finally:
            del self._announced[user_id]

    # What other servers tell us.

    async def device_list_update(self, origin: ServerName, update: DeviceListUpdate) -> None:
        """A device of one of the origin's users has changed."""
        user_id = UserID(update.user_id)
        if not self._may_speak(origin, update.user_id) or not update.device_id:
            return
        if user_id in self._announced:
            self._announced[user_id] = max(self._announced[user_id], update.stream_id)
        await self._db.run(_apply_device, user_id, update)

    async def signing_key_update(self, origin: ServerName, update: SigningKeyUpdate) -> None:
        """The cross-signing keys of one of the origin's users have changed."""
        if self._may_speak(origin, update.user_id):
            await self._db.run(_apply_signing_keys, UserID(update.user_id), update)

    async def mark_outdated(self, user_id: UserID) -> None:
        """Have the user's devices fetched again when they are next asked for, and clients ask."""
        await self._db.run(_outdate, user_id)

    def _may_speak(self, origin: ServerName, user_id: str) -> bool:
        return is_user_id(user_id) and domain_of(user_id) == origin and origin != self._server_name

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            kind = entry.kind
            if kind is LogKind.DEVICE_LIST or kind is LogKind.CROSS_SIGNING:
                self._good.discard(UserID(entry.user_id or ""))
            elif kind is LogKind.ROOM_STATE:
                self._good.clear()
            elif kind is LogKind.EVENT and self._good:
                self._member_moved(entry.payload)

    def _member_moved(self, announced: _Announced | None) -> None:
        if announced is None:
            self._good.clear()
            return
        event = announced.event
        if event.type != "m.room.member" or event.content.get("membership") == "join":
            return
        gone = UserID(event.state_key or "")
        if gone in self._good:
            self._good.discard(gone)
        elif domain_of(gone) == self._server_name:
            # Perhaps the last of ours whom the room's other users shared it with.
            self._good.clear()


def _standing(txn: Transaction, user_ids: Sequence[UserID]) -> Standing:
    good: set[UserID] = set()
    shared: set[UserID] = set()
    for user_id in user_ids:
        kept = rows.find_remote(txn, user_id)
        if kept is not None and not kept.is_outdated and _is_covered(txn, user_id, kept):
            good.add(user_id)
            shared.add(user_id)
        elif rows.is_shared_with_us(txn, user_id):
            shared.add(user_id)
    return Standing(good, shared)


def _is_covered(txn: Transaction, user_id: UserID, kept: rows.RemoteList) -> bool:
    return rows.is_shared_with_us(txn, user_id, since=kept.position)


def _replace(txn: Transaction, user_id: UserID, answer: UserDevices, position: int) -> None:
    """Put a fetched list in the place of our copy, and tell if that makes a difference."""
    before = rows.find_remote(txn, user_id)
    old = {row.device_id: (row.keys, row.display_name) for row in device_keys.list_of_user(txn, user_id)}
    new = {}
    for device in answer.devices[:MAX_DEVICES]:
        device_id = device.get("device_id")
        if isinstance(device_id, str):
            keys = _checked_keys(user_id, device_id, device.get("keys"))
            if keys is not None:
                new[DeviceID(device_id)] = keys, _checked_name(device.get("device_display_name"))
    for device_id in old.keys() - new.keys():
        device_keys.delete(txn, user_id, device_id)
    for device_id, (keys, name) in new.items():
        if old.get(device_id) != (keys, name):
            device_keys.save(txn, user_id, device_id, keys, display_name=name)
    signing_changed = _save_cross_signing(
        txn,
        user_id,
        {MASTER: answer.master_key, SELF_SIGNING: answer.self_signing_key},
        missing_means_none=True,
    )
    rows.save_remote(txn, user_id, answer.stream_id, position)
    if before is not None and (old != new or signing_changed):
        record_device(txn, user_id, DeviceID(""))


def _apply_device(txn: Transaction, user_id: UserID, update: DeviceListUpdate) -> None:
    if not rows.is_shared_with_us(txn, user_id):
        rows.forget_remote(txn, user_id)
        return
    kept = rows.find_remote(txn, user_id)
    device_id = DeviceID(update.device_id)
    if kept is not None and update.stream_id <= kept.stream_id:
        return
    if kept is not None and not kept.is_outdated:
        is_gap = not update.prev_id or max(update.prev_id) > kept.stream_id
        if is_gap or not _is_covered(txn, user_id, kept):
            rows.mark_outdated(txn, user_id)
        else:
            keys = None if update.deleted else _checked_keys(user_id, device_id, update.keys)
            if keys is None:
                device_keys.delete(txn, user_id, device_id)
            else:
                name = _checked_name(update.device_display_name)
                device_keys.save(txn, user_id, device_id, keys, display_name=name)
            rows.advance_remote(txn, user_id, update.stream_id)
    record_device(txn, user_id, device_id)


def _apply_signing_keys(txn: Transaction, user_id: UserID, update: SigningKeyUpdate) -> None:
    if not rows.is_shared_with_us(txn, user_id):
        rows.forget_remote(txn, user_id)
        return
    _save_cross_signing(
        txn,
        user_id,
        {MASTER: update.master_key, SELF_SIGNING: update.self_signing_key},
        missing_means_none=False,
    )
    record_cross_signing(txn, user_id)


def _outdate(txn: Transaction, user_id: UserID) -> None:
    if rows.mark_outdated(txn, user_id):
        record_device(txn, user_id, DeviceID(""))


def _save_cross_signing(
    txn: Transaction, user_id: UserID, keys: dict[str, dict[str, Any] | None], *, missing_means_none: bool
) -> bool:
    """Whether that changed anything."""
    before = cross_signing.list_of_user(txn, user_id)
    changed = False
    for usage, key in keys.items():
        if key is None:
            changed |= missing_means_none and cross_signing.delete(txn, user_id, usage)
            continue
        try:
            form = check_cross_signing_key(key, user_id, usage)
        except InvalidParam as error:
            _log.info("a cross-signing key of a remote user is malformed", user=user_id, reason=error.error)
            continue
        saved = CrossSigningKey(usage, form.public_key, form.json)
        if before.get(usage) != saved:
            cross_signing.save(txn, user_id, saved)
            changed = True
    return changed


def _checked_keys(user_id: UserID, device_id: str, keys: Any) -> bytes | None:
    """A remote device's keys in canonical JSON; None if they are not the device's."""
    if not isinstance(keys, dict) or keys.get("user_id") != user_id or keys.get("device_id") != device_id:
        return None
    if not isinstance(keys.get("keys"), dict) or len(device_id.encode("utf-8", "surrogatepass")) > 255:
        return None
    try:
        return canonical({name: item for name, item in keys.items() if name != "unsigned"}, "device keys")
    except InvalidParam as error:
        _log.info("keys of a remote device are malformed", user=user_id, device=device_id, reason=error.error)
        return None


def _checked_name(name: Any) -> str | None:
    return name[:MAX_NAME].replace("\0", "") if isinstance(name, str) else None
