"""What a transaction tells: a stretch of the log as one application service hears of it.

Spec: https://spec.matrix.org/v1.19/application-service-api/#pushing-events
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from homeserver.events.client_format import client_event_json
from homeserver.ids import UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.stripped import shown_state, strip
from homeserver.rooms.timeline import TimelineEvent
from storage import appservices as rows
from storage import devices as device_rows
from storage import one_time_keys
from storage.transaction import Transaction

MAX_EVENTS = 100
MAX_MESSAGES = 100
_encode = msgspec.json.encode


@dataclass(slots=True)
class Telling:
    """What has been gathered so far. `until` is the log position up to which everything is in it."""

    until: int
    events: list[bytes] = field(default_factory=list)
    messages: list[tuple[UserID, str, int]] = field(default_factory=list)
    """To-device messages by recipient, device and position."""
    changed_devices: dict[str, None] = field(default_factory=dict)
    counted_users: dict[UserID, None] = field(default_factory=dict)
    """Users of the service whose devices' keys it is told of."""

    def is_full(self) -> bool:
        return len(self.events) >= MAX_EVENTS or len(self.messages) >= MAX_MESSAGES

    @property
    def is_empty(self) -> bool:
        return not (self.events or self.messages or self.changed_devices or self.counted_users)


def event_json(entry: TimelineEvent, room: LiveRoom | None, *, is_own: bool) -> bytes:
    """The event; an invitation or knock of the service's own user comes with what they may see of the room."""
    event = entry.event
    if is_own and room is not None and event.type == "m.room.member" and event.state_key is not None:
        membership = event.content.get("membership")
        if membership in ("invite", "knock"):
            state = [strip(each) for each in shown_state(room, UserID(event.state_key))]
            return client_event_json(event, {**entry.unsigned(), f"{membership}_room_state": state})
    return entry.json


def load_secrets(txn: Transaction, telling: Telling) -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
    """To-device messages, and what keys the devices of the service's users have left."""
    messages: list[bytes] = []
    for user_id, device_id, position in telling.messages:
        message = rows.find_message(txn, user_id, device_id, position)
        if message is not None:
            recipient = _encode({"to_user_id": user_id, "to_device_id": device_id})
            messages.append(message[:-1] + b"," + recipient[1:])
    counts: dict[str, Any] = {}
    fallbacks: dict[str, Any] = {}
    for user_id in telling.counted_users:
        for device in device_rows.list_of_user(txn, user_id):
            left = one_time_keys.keys_left(txn, user_id, device.device_id)
            counts.setdefault(user_id, {})[device.device_id] = left.counts
            fallbacks.setdefault(user_id, {})[device.device_id] = left.unused_fallbacks
    return messages, counts, fallbacks


def compose(
    telling: Telling,
    ephemeral: list[bytes],
    messages: list[bytes],
    counts: dict[str, Any],
    fallbacks: dict[str, Any],
) -> bytes:
    """The body, each part under its stable name and those that services look for today."""
    parts = [b'"events":[%b]' % b",".join(telling.events)]
    if ephemeral:
        joined = b"[%b]" % b",".join(ephemeral)
        parts.append(b'"ephemeral":%b,"de.sorunome.msc2409.ephemeral":%b' % (joined, joined))
    if messages:
        joined = b"[%b]" % b",".join(messages)
        parts.append(b'"to_device":%b,"de.sorunome.msc2409.to_device":%b' % (joined, joined))
    if telling.changed_devices:
        lists = _encode({"changed": list(telling.changed_devices), "left": []})
        parts.append(b'"device_lists":%b,"org.matrix.msc3202.device_lists":%b' % (lists, lists))
    if counts:
        left, unused = _encode(counts), _encode(fallbacks)
        parts += [
            b'"device_one_time_keys_count":%b' % left,
            b'"org.matrix.msc3202.device_one_time_keys_count":%b' % left,
            b'"org.matrix.msc3202.device_one_time_key_counts":%b' % left,
            b'"device_unused_fallback_key_types":%b' % unused,
            b'"org.matrix.msc3202.device_unused_fallback_key_types":%b' % unused,
        ]
    return b"{%b}" % b",".join(parts)
