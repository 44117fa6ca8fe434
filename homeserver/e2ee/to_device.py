"""Messages from device to device: stored for local devices, owed to the servers of remote ones, each once.

A sender that has been seen before costs no reading: which transactions it sent last and which devices the recipients
have is in memory, and what is written is only added.
Spec: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from twisted.internet.defer import Deferred

from federation.wire.edus import DIRECT_TO_DEVICE, DirectToDevice
from federation.wire.transactions import encode_edu
from homeserver.e2ee.device_ids import DeviceIDs
from homeserver.e2ee.remembered import Remembered
from homeserver.errors import InvalidParam, TooLarge
from homeserver.ids import DeviceID, ServerName, UserID, domain_of, is_user_id
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind
from homeserver.runtime.random import Randomness
from storage import federation
from storage import to_device as rows
from storage.database import Database
from storage.transaction import Transaction

MAX_MESSAGE_BYTES = 64 * 1024
MAX_EDU_BYTES = 64 * 1024
MAX_TYPE_BYTES = 255
MAX_RECIPIENTS = 50_000
"""Messages that one request may make of wildcards."""

SENDERS_KEPT = 50_000
TRANSACTIONS_KEPT = 32
_DIGEST_BYTES = 8
_KEPT_BYTES = _DIGEST_BYTES * TRANSACTIONS_KEPT
EVERY_DEVICE = "*"

_encode = msgspec.json.encode

Messages = Mapping[UserID, Mapping[str, Mapping[str, Any]]]
"""User, device (or `*`), content."""


class _Sender:
    """The transactions that a device sent last (their digests, oldest first), and those that are under way."""

    __slots__ = ("recent", "under_way")

    def __init__(self, recent: bytes) -> None:
        self.recent = recent
        self.under_way: dict[bytes, list[Deferred[None]]] = {}

    def has_sent(self, digest: bytes) -> bool:
        at = self.recent.find(digest)
        while at % _DIGEST_BYTES and at > 0:
            at = self.recent.find(digest, at + 1)
        return at >= 0


class Letter(NamedTuple):
    """A message for one local device, as it will see it."""

    user_id: UserID
    device_id: DeviceID
    message: bytes


_SenderKey = tuple[UserID, str]


class ToDevice:
    """Sends messages to devices, and takes those that other servers send to ours."""

    def __init__(
        self,
        db: Database,
        device_ids: DeviceIDs,
        clock: Clock,
        randomness: Randomness,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._device_ids = device_ids
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._senders: Remembered[_SenderKey, _Sender] = Remembered(db, _senders, room=SENDERS_KEPT)

    async def send(
        self, sender: UserID, device_id: DeviceID | None, type: str, txn_id: str, messages: Messages
    ) -> None:
        """Send messages, unless the device has sent this transaction before.

        Raises:
            InvalidParam: a recipient is none, or the type is too long.
            TooLarge: a message is too large.
        """
        key = (sender, device_id or "")
        state = self._senders.find(key) or await self._senders.load_one(key)
        digest = blake2b(
            f"{type}\0{txn_id}".encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
        ).digest()
        waiting = state.under_way.get(digest)
        if waiting is not None:
            done: Deferred[None] = Deferred()
            waiting.append(done)
            await done
            return
        if state.has_sent(digest):
            return
        state.under_way[digest] = []
        try:
            await self._send(state, digest, key, type, messages)
        except BaseException as error:
            for each in state.under_way.pop(digest):
                each.errback(error)
            raise
        for each in state.under_way.pop(digest):
            each.callback(None)

    async def _send(
        self, state: _Sender, digest: bytes, key: _SenderKey, type: str, messages: Messages
    ) -> None:
        if len(type.encode("utf-8", "surrogatepass")) > MAX_TYPE_BYTES:
            raise InvalidParam(f"the type is longer than {MAX_TYPE_BYTES} bytes")
        sender = key[0]
        local: dict[UserID, Mapping[str, Mapping[str, Any]]] = {}
        remote: dict[ServerName, dict[UserID, Mapping[str, Mapping[str, Any]]]] = {}
        for user_id, by_device in messages.items():
            server = domain_of(user_id)
            if server == self._server_name:
                local[user_id] = by_device
            elif is_user_id(user_id):
                remote.setdefault(server, {})[user_id] = by_device
            else:
                raise InvalidParam(f"{user_id[:255]!r} is not a user ID")
        letters = await self.letters(sender, type, local)
        edus = [
            (server, edu) for server, of_users in remote.items() for edu in self._edus(sender, type, of_users)
        ]
        # Senders do not wait for one another: what is remembered is what has been begun, in that order.
        state.recent = (state.recent + digest)[-_KEPT_BYTES:]
        try:
            await self._db.run(_store, key, state.recent, letters, edus, self._clock.now_ms())
        except BaseException:
            state.recent = state.recent.replace(digest, b"")
            raise

    async def letters(self, sender: str, type: str, messages: Messages) -> list[Letter]:
        """A letter for each device of ours that is addressed and exists.

        Raises:
            TooLarge: a message is too large.
        """
        find = self._device_ids.find
        unknown = [user_id for user_id in messages if find(user_id) is None]
        loaded = await self._device_ids.load(unknown) if unknown else {}
        head = b'{"type":%b,"sender":%b,"content":' % (_encode(type), _encode(sender))
        letters: list[Letter] = []
        for user_id, by_device in messages.items():
            devices = find(user_id) or loaded.get(user_id, frozenset())
            for device_id, content in by_device.items():
                encoded = _encode(content)
                if len(encoded) > MAX_MESSAGE_BYTES:
                    raise TooLarge(f"the message for {user_id} is larger than {MAX_MESSAGE_BYTES} bytes")
                message = b"%b%b}" % (head, encoded)
                if device_id == EVERY_DEVICE:
                    letters += [Letter(user_id, device, message) for device in sorted(devices)]
                elif device_id in devices:
                    letters.append(Letter(user_id, DeviceID(device_id), message))
            if len(letters) > MAX_RECIPIENTS:
                raise TooLarge(f"a request may address {MAX_RECIPIENTS} devices")
        return letters

    async def receive(self, origin: ServerName, edu: DirectToDevice) -> None:
        """Take what another server's user sends to ours; what it has sent before is dropped."""
        if not is_user_id(edu.sender) or domain_of(edu.sender) != origin or not edu.message_id:
            return
        if len(edu.type.encode("utf-8", "surrogatepass")) > MAX_TYPE_BYTES:
            return
        ours: Messages = {
            UserID(user_id): by_device
            for user_id, by_device in edu.messages.items()
            if is_user_id(user_id) and domain_of(user_id) == self._server_name
        }
        try:
            letters = await self.letters(edu.sender, edu.type, ours)
        except TooLarge:
            return
        await self._db.run(_receive, origin, edu.message_id, letters, self._clock.now_ms())

    def _edus(
        self, sender: UserID, type: str, messages: Mapping[UserID, Mapping[str, Mapping[str, Any]]]
    ) -> Iterable[bytes]:
        """The EDUs for one server, none of them larger than servers take."""
        part: dict[UserID, dict[str, Any]] = {}
        size = 0
        for user_id, by_device in messages.items():
            for device_id, content in by_device.items():
                encoded = _encode(content)
                if len(encoded) > MAX_MESSAGE_BYTES:
                    raise TooLarge(f"the message for {user_id} is larger than {MAX_MESSAGE_BYTES} bytes")
                if part and size + len(encoded) > MAX_EDU_BYTES - 2048:
                    yield self._edu(sender, type, part)
                    part, size = {}, 0
                part.setdefault(user_id, {})[device_id] = content
                size += len(encoded) + len(user_id) + len(device_id) + 16
        if part:
            yield self._edu(sender, type, part)

    def _edu(self, sender: UserID, type: str, messages: Mapping[UserID, Mapping[str, Any]]) -> bytes:
        content: dict[str, Any] = {
            "sender": sender,
            "type": type,
            "message_id": self._randomness.token(16),
            "messages": messages,
        }
        return encode_edu(DIRECT_TO_DEVICE, content)


def _senders(txn: Transaction, keys: Sequence[_SenderKey]) -> dict[_SenderKey, _Sender]:
    return {key: _Sender(rows.find_transactions(txn, *key)) for key in keys}


def add_letters(txn: Transaction, letters: Iterable[Letter]) -> None:
    for user_id, device_id, message in letters:
        slot = txn.log(LogKind.TO_DEVICE, user_id=user_id, ref=device_id, payload=message)
        rows.add(txn, txn.intern(user_id), device_id, slot, message)


def _store(
    txn: Transaction,
    key: _SenderKey,
    recent: bytes,
    letters: Sequence[Letter],
    edus: Sequence[tuple[ServerName, bytes]],
    now_ms: int,
) -> None:
    add_letters(txn, letters)
    for server, edu in edus:
        federation.queue_edu(txn, [server], edu, now_ms=now_ms)
    rows.save_transactions(txn, *key, recent)


def _receive(
    txn: Transaction, origin: ServerName, message_id: str, letters: Sequence[Letter], now_ms: int
) -> None:
    if federation.is_new_edu(txn, origin, message_id, now_ms=now_ms):
        add_letters(txn, letters)
