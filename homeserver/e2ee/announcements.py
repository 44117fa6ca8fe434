"""Tells other servers of changes to the keys of our users: a follower of the log that turns entries into EDUs.

Spec: https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from federation.wire.edus import DEVICE_LIST_UPDATE, SIGNING_KEY_UPDATE
from federation.wire.transactions import encode_edu
from homeserver.e2ee.key_rings import KeyRing, ring_of
from homeserver.ids import DeviceID, ServerName, UserID, domain_of
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import device_lists, federation, followers, log, membership
from storage.database import Database
from storage.transaction import Transaction

FOLLOWER = "device list announcements"
PLACE_EVERY_S = 5.0
_PAGE = 500
_CHANGES = frozenset({LogKind.DEVICE_LIST, LogKind.CROSS_SIGNING})

_decode = msgspec.json.decode


class _Event(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def state_key(self) -> str | None: ...
    @property
    def content(self) -> dict[str, Any]: ...


class _Announced(Protocol):
    """The payload of an EVENT entry, as far as it matters here."""

    @property
    def event(self) -> _Event: ...


class Announcements:
    """The follower. It owes each server the EDUs of an entry in the commit in which it moves past the entry."""

    def __init__(
        self,
        db: Database,
        notifier: Notifier,
        clock: Clock,
        tasks: Tasks,
        *,
        server_name: ServerName,
        tell_names: bool = False,
    ) -> None:
        self._db = db
        self._notifier = notifier
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._tell_names = tell_names
        self._waiting: deque[LogEntry] = deque()
        self._is_running = False
        self._position = 0
        self._saved = 0
        self._timer: Timer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Go on where the process left off."""
        until = self._notifier.position
        self._unsubscribe = self._notifier.subscribe(self._on_entries)
        place = await self._db.read(_find_place)
        if place is None:
            # The first start of all: nobody has been told anything that could have changed.
            place = until
            await self._db.run(followers.save_place, FOLLOWER, place)
        self._position = self._saved = place
        missed: list[LogEntry] = []
        while place < until:
            page = await self._db.read(log.entries_after, place, _PAGE)
            if not page:
                break
            missed += [entry for entry in page if entry.position <= until and self._concerns(entry)]
            place = page[-1].position
        self._waiting.extendleft(reversed(missed))
        self._wake()

    async def stop(self) -> None:
        """Take no more entries, and remember the place."""
        self._unsubscribe()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        await self._save_place()

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if self._concerns(entry):
                self._waiting.append(entry)
        if self._waiting:
            self._wake()
        else:
            self._position = entries[-1].position
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.call_later(PLACE_EVERY_S, self._save_in_time)

    def _concerns(self, entry: LogEntry) -> bool:
        if entry.kind in _CHANGES:
            return domain_of(entry.user_id or "") == self._server_name
        if entry.kind is not LogKind.EVENT:
            return False
        announced: _Announced | None = entry.payload
        if announced is None:
            # Whoever joins sends the event themselves, but for some restricted rooms.
            return domain_of(entry.user_id or "") == self._server_name
        event = announced.event
        return (
            event.type == "m.room.member"
            and event.content.get("membership") == "join"
            and domain_of(event.state_key or "") == self._server_name
        )

    def _wake(self) -> None:
        if not self._is_running and self._waiting:
            self._is_running = True
            self._tasks.spawn("tell other servers of changed keys", self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                entry = self._waiting[0]
                edus = await self._db.read(_edus_of, entry, self._tell_names)
                if edus:
                    await self._db.run(_owe, entry.position, edus, self._clock.now_ms())
                    self._saved = entry.position
                self._position = entry.position
                self._waiting.popleft()
        finally:
            self._is_running = False

    def _save_in_time(self) -> None:
        self._tasks.spawn("save the place of device list announcements", self._save_place())

    async def _save_place(self) -> None:
        if self._position > self._saved:
            self._saved = self._position
            await self._db.run(followers.save_place, FOLLOWER, self._position)


class _Owed(msgspec.Struct):
    """An EDU and the servers that are to have it. One with a key takes the place of an older one not yet sent."""

    servers: set[ServerName]
    edu: bytes
    key: str


def _find_place(txn: Transaction) -> int | None:
    place = txn.value("SELECT position FROM followers WHERE name = ?", FOLLOWER)
    return None if place is None else int(place)


def _owe(txn: Transaction, position: int, edus: Sequence[_Owed], now_ms: int) -> None:
    for owed in edus:
        federation.queue_edu(txn, owed.servers, owed.edu, now_ms=now_ms, key=owed.key)
    followers.save_place(txn, FOLLOWER, position)


def _edus_of(txn: Transaction, entry: LogEntry, tell_names: bool) -> list[_Owed]:  # noqa: FBT001  # a job's argument
    user_id = UserID(entry.user_id or "")
    if entry.kind is LogKind.EVENT:
        return _introductions(txn, entry, tell_names=tell_names)
    if not device_lists.is_change(txn, entry.position):
        return []
    servers = device_lists.servers_sharing(txn, user_id)
    if not servers:
        return []
    ring = ring_of(txn, user_id)
    if entry.kind is LogKind.CROSS_SIGNING:
        if entry.ref:
            # A signature of somebody else's key, which only the signer sees.
            return []
        return [_Owed(servers, _signing_key_edu(user_id, ring), f"signing keys {user_id}")]
    before = device_lists.last_change(txn, user_id, before=entry.position)
    edu = _device_edu(
        user_id,
        DeviceID(entry.ref),
        ring,
        stream_id=entry.position,
        prev_id=[before] if before else [],
        tell_names=tell_names,
    )
    return [_Owed(servers, edu, f"device {user_id} {entry.ref}")]


def _introductions(txn: Transaction, entry: LogEntry, *, tell_names: bool) -> list[_Owed]:
    """The devices of a user who joined a room, for the servers that have had no reason to know them."""
    room_id = entry.room_id or ""
    announced: _Announced | None = entry.payload
    user_id = UserID((entry.user_id if announced is None else announced.event.state_key) or "")
    member = membership.find(txn, room_id, user_id)
    if member is None or member.membership != "join" or member.joined_at != entry.position:
        return []
    ring = ring_of(txn, user_id)
    if not ring.devices and ring.master is None:
        # Nothing is to be told, and finding out whom takes long where rooms are large.
        return []
    others = device_lists.servers_sharing(txn, user_id)
    if not others:
        return []
    new = others - device_lists.servers_sharing(txn, user_id, except_room=room_id)
    if not new:
        return []
    stream_id = device_lists.last_change(txn, user_id)
    owed = [
        _Owed(
            new,
            _device_edu(user_id, device, ring, stream_id=stream_id, prev_id=[], tell_names=tell_names),
            f"device {user_id} {device}",
        )
        for device in ring.devices
    ]
    if ring.master is not None:
        owed.append(_Owed(new, _signing_key_edu(user_id, ring), f"signing keys {user_id}"))
    return owed


def _device_edu(
    user_id: UserID,
    device_id: DeviceID,
    ring: KeyRing,
    *,
    stream_id: int,
    prev_id: list[int],
    tell_names: bool,
) -> bytes:
    content: dict[str, Any] = {"user_id": user_id, "device_id": device_id, "stream_id": stream_id}
    if prev_id:
        content["prev_id"] = prev_id
    keys = ring.devices.get(device_id)
    if keys is None:
        content["deleted"] = True
    else:
        value = _decode(keys)
        name = value.pop("unsigned", {}).get("device_display_name")
        content["keys"] = value
        if tell_names and name is not None:
            content["device_display_name"] = name
    return encode_edu(DEVICE_LIST_UPDATE, content)


def _signing_key_edu(user_id: UserID, ring: KeyRing) -> bytes:
    content: dict[str, Any] = {"user_id": user_id}
    if ring.master is not None:
        content["master_key"] = _decode(ring.master)
    if ring.self_signing is not None:
        content["self_signing_key"] = _decode(ring.self_signing)
    return encode_edu(SIGNING_KEY_UPDATE, content)
