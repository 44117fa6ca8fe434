"""People whose devices have keys."""

from __future__ import annotations

from typing import Any

from tests.harness.device_crypto import OTK, DeviceCrypto, UserCrypto
from tests.harness.user import User


def crypto_of(user: User) -> DeviceCrypto:
    """The cryptography of the device that the user is on."""
    return DeviceCrypto(user.user_id, user.device_id)


async def publishes(user: User, *, one_time_keys: int = 0, fallback: bool = False) -> DeviceCrypto:
    """Publish the identity keys of the user's device, and perhaps others."""
    crypto = crypto_of(user)
    body: dict[str, Any] = {"device_keys": crypto.device_keys()}
    if one_time_keys:
        body["one_time_keys"] = crypto.one_time_keys(one_time_keys)
    if fallback:
        body["fallback_keys"] = crypto.fallback_key()
    await user.request("POST", "/keys/upload", body)
    return crypto


async def signs_up(user: User, *, seed: str = "") -> UserCrypto:
    """Publish cross-signing keys for the first time."""
    crypto = UserCrypto(user.user_id, seed=seed)
    await user.request("POST", "/keys/device_signing/upload", crypto.keys())
    return crypto


async def queries(user: User, *others: User | str) -> dict[str, Any]:
    """What the server says of the keys of others."""
    names = [other if isinstance(other, str) else other.user_id for other in others]
    return await user.request("POST", "/keys/query", {"device_keys": {name: [] for name in names}})


async def claims(user: User, *devices: User, algorithm: str = OTK) -> dict[str, str]:
    """Claim a key of each device; which one was given, by device."""
    wanted: dict[str, dict[str, str]] = {}
    for device in devices:
        wanted.setdefault(device.user_id, {})[device.device_id] = algorithm
    answer = await user.request("POST", "/keys/claim", {"one_time_keys": wanted})
    assert answer.get("failures", {}) == {}
    return {
        device_id: name
        for of_user in answer["one_time_keys"].values()
        for device_id, keys in of_user.items()
        for name in keys
    }


async def sends(
    user: User, to: User | str, content: dict[str, Any], *, device: str | None = None, **options: Any
) -> None:
    """Send a message to one device, or to that which is named."""
    name = to if isinstance(to, str) else to.user_id
    where = device or (to.device_id if isinstance(to, User) else "*")
    await sends_all(user, {name: {where: content}}, **options)


async def sends_all(
    user: User,
    messages: dict[str, dict[str, Any]],
    *,
    type: str = "m.room.encrypted",
    transaction_id: str | None = None,
) -> None:
    txn = transaction_id or user.new_transaction_id()
    await user.request("PUT", f"/sendToDevice/{type}/{txn}", {"messages": messages})


def received(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The contents of the messages to the device in an answer of `/sync`."""
    return [event["content"] for event in answer.get("to_device", {}).get("events", [])]


def changed(answer: dict[str, Any]) -> set[str]:
    return set(answer.get("device_lists", {}).get("changed", ()))


def left(answer: dict[str, Any]) -> set[str]:
    return set(answer.get("device_lists", {}).get("left", ()))
