"""Receipts and typing in a joined room's section, as ready JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.ids import UserID
from homeserver.rooms.live_room import LiveRoom, Receipt, ReceiptKey

_encode = msgspec.json.encode
PRIVATE = "m.read.private"


def receipts_after(room: LiveRoom, user_id: UserID, position: int) -> list[tuple[ReceiptKey, Receipt]]:
    """The receipts given after `position` that the user may see: all public ones, and their own private ones."""
    if room.receipts_position <= position:
        return []
    return [
        (key, receipt)
        for key, receipt in room.receipts.items()
        if receipt.position > position and (key.receipt_type != PRIVATE or key.user_id == user_id)
    ]


def receipt_event(receipts: list[tuple[ReceiptKey, Receipt]]) -> dict[str, Any]:
    """An `m.receipt` event. Spec: https://spec.matrix.org/v1.19/client-server-api/#mreceipt"""
    content: dict[str, Any] = {}
    for key, receipt in receipts:
        data: dict[str, Any] = {"ts": receipt.ts}
        if key.thread_id:
            data["thread_id"] = key.thread_id
        by_type = content.setdefault(receipt.event_id, {})
        by_type.setdefault(key.receipt_type, {})[key.user_id] = data
    return {"type": "m.receipt", "content": content}


def typing_event(room: LiveRoom) -> dict[str, Any]:
    return {"type": "m.typing", "content": {"user_ids": sorted(room.typing)}}
