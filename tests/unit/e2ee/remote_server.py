"""Another server, as far as its users' keys are concerned, and rooms that its users share with ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federation.wire.answers import ClaimedKeys, DeviceKeys, UserDevices
from federation.wire.edus import DeviceListUpdate
from homeserver.errors import RemoteError
from homeserver.ids import DeviceID, ServerName, UserID
from homeserver.runtime.notifier import LogEntry, LogKind
from storage import membership
from storage.database import Database
from storage.transaction import Transaction
from tests.harness.device_crypto import DeviceCrypto

OURS, THEIRS = ServerName("one.test"), ServerName("two.test")
ALICE, BOB = UserID("@alice:one.test"), UserID("@bob:two.test")
ROOM = "!room:one.test"


class RemoteServer:
    """Answers what is asked of it, and writes down what that was."""

    def __init__(self) -> None:
        self.devices: dict[UserID, dict[str, DeviceCrypto]] = {}
        self.names: dict[str, str] = {}
        self.stream_id = 1
        self.is_down = False
        self.asked: list[str] = []
        self.cross_signing: dict[UserID, dict[str, Any]] = {}
        self.one_time_keys: dict[str, dict[str, Any]] = {}

    def add_device(self, user_id: UserID, device_id: str) -> DeviceCrypto:
        """A device of one of its users; the stream moves on."""
        crypto = DeviceCrypto(user_id, device_id)
        self.devices.setdefault(user_id, {})[device_id] = crypto
        self.stream_id += 1
        return crypto

    def update(self, user_id: UserID, device_id: str, *, prev_id: Sequence[int]) -> DeviceListUpdate:
        """The EDU about a device as it is now."""
        crypto = self.devices[user_id].get(device_id)
        return DeviceListUpdate(
            user_id,
            device_id,
            self.stream_id,
            list(prev_id),
            deleted=crypto is None,
            keys=None if crypto is None else crypto.device_keys(),
        )

    def _asked(self, what: str) -> None:
        self.asked.append(what)
        if self.is_down:
            raise RemoteError(f"{THEIRS} does not answer")

    async def query_user_keys(
        self,
        server: ServerName,
        device_keys: Mapping[UserID, Sequence[str]],
        *,
        timeout_ms: int | None = None,
    ) -> DeviceKeys:
        self._asked("query")
        found = {
            str(user): {name: crypto.device_keys() for name, crypto in self.devices.get(user, {}).items()}
            for user in device_keys
        }
        # Nobody may speak for the users of others.
        found["@mallory:three.test"] = {"X": DeviceCrypto("@mallory:three.test", "X").device_keys()}
        return DeviceKeys(device_keys=found)

    async def claim_user_keys(
        self,
        server: ServerName,
        one_time_keys: Mapping[UserID, Mapping[Any, str]],
        *,
        timeout_ms: int | None = None,
    ) -> ClaimedKeys:
        self._asked("claim")
        claimed = {str(user): dict(self.one_time_keys) for user in one_time_keys}
        return ClaimedKeys(one_time_keys={**claimed, "@mallory:three.test": self.one_time_keys})

    async def get_user_devices(self, server: ServerName, user_id: UserID) -> UserDevices:
        self._asked("devices")
        devices = [
            {"device_id": name, "keys": crypto.device_keys()}
            | ({"device_display_name": self.names[name]} if name in self.names else {})
            for name, crypto in self.devices.get(user_id, {}).items()
        ]
        return UserDevices(user_id, self.stream_id, devices, **self.cross_signing.get(user_id, {}))


class Members:
    """Puts users into rooms by writing what rooms would write."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def set(self, user_id: UserID, what: str, room_id: str = ROOM) -> None:
        await self._db.run(_set_membership, room_id, user_id, what)


class _Event:
    def __init__(self, user_id: UserID, what: str) -> None:
        self.type, self.state_key, self.content = "m.room.member", str(user_id), {"membership": what}


class _Announced:
    def __init__(self, event: _Event) -> None:
        self.event = event


def _set_membership(txn: Transaction, room_id: str, user_id: UserID, what: str) -> None:
    before = membership.find(txn, room_id, user_id)
    payload = _Announced(_Event(user_id, what))
    slot = txn.log(LogKind.EVENT, room_id=room_id, user_id=user_id, ref="$e", payload=payload)
    stays = before is not None and before.membership == "join" == what
    membership.save(
        txn,
        room=txn.intern(room_id),
        user_id=user_id,
        membership=what,
        event=0,
        sender=user_id,
        position=slot,
        joined_at=before.joined_at if stays and before is not None else slot,
        local=user_id.endswith(f":{OURS}"),
    )


def told(entries: list[LogEntry], user_id: UserID = BOB) -> list[tuple[LogKind, DeviceID]]:
    """What the log says of a user's keys."""
    kinds = (LogKind.DEVICE_LIST, LogKind.CROSS_SIGNING)
    return [
        (entry.kind, DeviceID(entry.ref))
        for entry in entries
        if entry.kind in kinds and entry.user_id == user_id
    ]
