"""The ephemeral messages of the specification, as they are written and as they may be read.

Spec: https://spec.matrix.org/v1.19/server-server-api/#edus
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from homeserver.ids import NAMESPACE

TYPING = "m.typing"
RECEIPT = "m.receipt"
PRESENCE = "m.presence"
DIRECT_TO_DEVICE = "m.direct_to_device"
DEVICE_LIST_UPDATE = "m.device_list_update"
SIGNING_KEY_UPDATE = "m.signing_key_update"
SIGNING_KEY_UPDATE_UNSTABLE = "org.matrix.signing_key_update"
DELIVERY = f"{NAMESPACE}delivery"
"""Ours, which other servers ignore: what has come to the devices of a user of the server that says so."""


class Typing(msgspec.Struct):
    """Spec: https://spec.matrix.org/v1.19/server-server-api/#typing-notifications"""

    room_id: str
    user_id: str
    typing: bool


class ReceiptData(msgspec.Struct, omit_defaults=True):
    """When a receipt was sent, and in which thread."""

    ts: int | None = None
    thread_id: str | None = None


class UserReceipt(msgspec.Struct):
    """Up to which event one user has read. There is one event ID."""

    event_ids: list[str]
    data: ReceiptData


class RoomReceipts(msgspec.Struct):
    """The receipts of a room, by user ID."""

    read: dict[str, UserReceipt] = msgspec.field(name="m.read", default_factory=dict)


class UserPresence(msgspec.Struct, omit_defaults=True):
    """One user's presence."""

    user_id: str
    presence: str
    last_active_ago: int | None = None
    currently_active: bool = False
    status_msg: str | None = None


class Presence(msgspec.Struct):
    """Spec: https://spec.matrix.org/v1.19/server-server-api/#presence"""

    push: list[UserPresence]


class DirectToDevice(msgspec.Struct):
    """Spec: https://spec.matrix.org/v1.19/server-server-api/#send-to-device-messaging"""

    sender: str
    type: str
    message_id: str
    messages: dict[str, dict[str, dict[str, Any]]]


class DeviceListUpdate(msgspec.Struct, omit_defaults=True):
    """Spec: https://spec.matrix.org/v1.19/server-server-api/#device-management"""

    user_id: str
    device_id: str
    stream_id: int
    prev_id: list[int] = []
    deleted: bool = False
    device_display_name: str | None = None
    keys: dict[str, Any] | None = None


class SigningKeyUpdate(msgspec.Struct, omit_defaults=True):
    """Spec: https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption"""

    user_id: str
    master_key: dict[str, Any] | None = None
    self_signing_key: dict[str, Any] | None = None


class DeliveryMark(msgspec.Struct):
    """Up to which event a room has come to somebody's devices, and when."""

    event_id: str
    ts: int


def delivery_content(room_id: str, user_id: str, event_id: str, ts: int) -> dict[str, Any]:
    return {room_id: {user_id: {"event_id": event_id, "ts": ts}}}


def typing_content(room_id: str, user_id: str, *, typing: bool) -> dict[str, Any]:
    return {"room_id": room_id, "user_id": user_id, "typing": typing}


def receipt_content(room_id: str, receipts: Iterable[tuple[str, str, int, str | None]]) -> Mapping[str, Any]:
    """The content of `m.receipt` for one room: (user, event, time, thread) each."""
    of_users = {}
    for user_id, event_id, ts, thread_id in receipts:
        data = {"ts": ts} if thread_id is None else {"ts": ts, "thread_id": thread_id}
        of_users[user_id] = {"event_ids": [event_id], "data": data}
    return {room_id: {"m.read": of_users}}
