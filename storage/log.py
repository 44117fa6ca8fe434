"""The log (DESIGN idea 1) as rows: what a follower reads when it comes back, and how its tail is cut off."""

from __future__ import annotations

from homeserver.runtime.notifier import LogEntry, LogKind
from storage.transaction import Transaction


def entries_after(txn: Transaction, position: int, limit: int) -> list[LogEntry]:
    """Up to `limit` entries after `position`, in order and without their payloads."""
    rows = txn.all(
        "SELECT l.position, l.kind, r.value, u.value, l.ref FROM log l"
        " LEFT JOIN names r ON r.nid = l.room LEFT JOIN names u ON u.nid = l.user_name"
        " WHERE l.position > ? ORDER BY l.position LIMIT ?",
        position,
        limit,
    )
    return [LogEntry(at, LogKind(kind), room_id, user_id, ref) for at, kind, room_id, user_id, ref in rows]


def last_position(txn: Transaction) -> int:
    """The position of the newest entry, 0 if there is none."""
    return int(txn.value("SELECT COALESCE(MAX(position), 0) FROM log"))


def prune(txn: Transaction, before: int, limit: int) -> int:
    """Delete up to `limit` of the oldest entries before position `before`; how many there were.

    The newest entry stays whatever is asked: the next position is counted from it.
    """
    oldest = txn.value("SELECT MIN(position) FROM log")
    if oldest is None:
        return 0
    end = min(before, oldest + limit, last_position(txn))
    return txn.execute("DELETE FROM log WHERE position < ?", end)
