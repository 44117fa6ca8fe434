"""Invitations of local users that may not need an answer: those who have knocked, and those from other servers."""

from __future__ import annotations

import msgspec

from homeserver.ids import RoomID, UserID
from storage import membership
from storage.transaction import Transaction


def is_invited(txn: Transaction, room_id: RoomID, user_id: UserID, inviter: UserID) -> bool:
    """Whether this invitation is what the user has of the room now."""
    current = membership.find(txn, room_id, user_id)
    return current is not None and current.membership == "invite" and current.sender == inviter


def waiting(txn: Transaction) -> list[tuple[RoomID, UserID, UserID, bool]]:
    """(room, user, inviter, whether they have knocked before) of every invitation of a local user."""
    rows = txn.all(
        "SELECT m.room, m.user_name, m.event, r.value, u.value, s.value FROM membership m"
        " JOIN names r ON r.nid = m.room JOIN names u ON u.nid = m.user_name JOIN names s ON s.nid = m.sender"
        " WHERE m.local = 1 AND m.membership = 'invite'"
    )
    found = []
    for room, user, event, room_id, user_id, sender in rows:
        knocked = _before(txn, room, user, event) == "knock"
        if knocked or str(sender).partition(":")[2] != str(user_id).partition(":")[2]:
            found.append((RoomID(room_id), UserID(user_id), UserID(sender), knocked))
    return found


def _before(txn: Transaction, room: int, user: int, event: int) -> str | None:
    """What the user's membership was before an event."""
    json = txn.value(
        "SELECT json FROM events WHERE room = ? AND type = ? AND state_key = ? AND number < ?"
        " AND flags & 6 = 0 ORDER BY number DESC LIMIT 1",
        room,
        txn.find_interned("m.room.member"),
        user,
        event,
    )
    content = {} if json is None else msgspec.json.decode(json).get("content", {})
    value = content.get("membership")
    return value if isinstance(value, str) else None
