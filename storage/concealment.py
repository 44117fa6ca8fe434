"""What users have hidden from themselves: single events, and everything up to where they cleared a room."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from homeserver.ids import NAMESPACE, EventID, RoomID
from homeserver.runtime.notifier import LogKind
from storage.transaction import Transaction

CLEARED = f"{NAMESPACE}cleared"


class Concealment(NamedTuple):
    """What one user does not see of one room.

    Nothing up to `cleared_position` is seen; `cleared_at` is where in the log the user said so.
    """

    cleared_position: int = 0
    cleared_at: int = 0
    hidden: frozenset[EventID] = frozenset()


def hide(txn: Transaction, user_id: str, room_id: str, event_id: str) -> None:
    columns = ("user_name", "room", "event_id")
    row = (txn.intern(user_id), txn.intern(room_id), event_id)
    txn.put("im_hidden", columns, row, columns)
    txn.log(LogKind.VISIBILITY, room_id=room_id, user_id=user_id, ref=event_id)


def load(txn: Transaction, user_id: str) -> dict[RoomID, Concealment]:
    """Everything that the user has hidden, by room."""
    user = txn.find_interned(user_id)
    if user is None:
        return {}
    hidden: dict[RoomID, set[EventID]] = {}
    for room_id, event_id in txn.all(
        "SELECT n.value, h.event_id FROM im_hidden h JOIN names n ON n.nid = h.room WHERE h.user_name = ?",
        user,
    ):
        hidden.setdefault(RoomID(room_id), set()).add(EventID(event_id))
    found = {room_id: Concealment(hidden=frozenset(events)) for room_id, events in hidden.items()}
    for room_id, content, position in txn.all(
        "SELECT n.value, d.content, d.position FROM account_data d JOIN names n ON n.nid = d.room"
        " WHERE d.user_name = ? AND d.type = ?",
        user,
        CLEARED,
    ):
        event_id = _event_id(bytes(content))
        # Of this room only: whoever writes the data themselves clears nothing else.
        up_to = txn.value(
            "SELECT e.position FROM events e JOIN names n ON n.nid = e.room WHERE e.event_id = ? AND n.value = ?",
            event_id,
            room_id,
        )
        if up_to is not None:
            before = found.get(room_id, Concealment())
            found[RoomID(room_id)] = before._replace(cleared_position=int(up_to), cleared_at=int(position))
    return found


def _event_id(content: bytes) -> str:
    value = msgspec.json.decode(content)
    event_id = value.get("event_id") if isinstance(value, dict) else None
    return event_id if isinstance(event_id, str) else ""
