"""Who lives in a simulated world: users whose clients follow one another's devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.harness.device_crypto import DeviceCrypto
from tests.harness.user import User

MAX_ROUNDS = 20


class Person(User):
    """A user with devices that have keys, who remembers what their client was told of those of others."""

    known_devices: dict[str, dict[str, str]]
    """Devices and their keys, by user; of users about whom nothing is known to have changed."""
    changes: dict[str, int]
    """How often the client was told that a user's devices changed."""
    others: list[User]
    """The same user's other devices."""

    async def settles_in(self) -> None:
        """Have keys, and a client that knows nobody."""
        self.known_devices = {}
        self.changes = {}
        self.others = []
        await publish_keys(self)
        await self.syncs()

    async def syncs(self, *, timeout_ms: int = 0, since: str | None = None, **query: Any) -> dict[str, Any]:
        answer = await super().syncs(timeout_ms=timeout_ms, since=since, **query)
        lists = answer.get("device_lists", {})
        for user_id in (*lists.get("changed", ()), *lists.get("left", ())):
            self.known_devices.pop(user_id, None)
            self.changes[user_id] = self.changes.get(user_id, 0) + 1
        return answer

    async def catches_up(self) -> None:
        """Sync until nothing more comes."""
        for _ in range(MAX_ROUNDS):
            before = self.client.since
            await self.syncs()
            if self.client.since == before:
                return

    async def asks_for_devices(self, people: Iterable[User]) -> dict[str, dict[str, str]]:
        """What the user's server says of the devices of others, and remember it as clients do."""
        wanted: dict[str, list[str]] = {person.user_id: [] for person in people}
        before = dict(self.changes)
        answer = await self.request("POST", "/keys/query", {"device_keys": wanted})
        told = {
            user_id: {device: keys["keys"][f"ed25519:{device}"] for device, keys in devices.items()}
            for user_id, devices in answer["device_keys"].items()
        }
        for user_id, devices in told.items():
            # An answer that was overtaken by news is no longer one.
            if self.changes.get(user_id) == before.get(user_id):
                self.known_devices[user_id] = devices
        return told


async def publish_keys(user: User) -> None:
    crypto = DeviceCrypto(user.user_id, user.device_id)
    await user.request("POST", "/keys/upload", {"device_keys": crypto.device_keys()})
