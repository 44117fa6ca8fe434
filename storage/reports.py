"""What users have reported."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import EventID, RoomID, UserID
from storage.transaction import Transaction


class Report(NamedTuple):
    """Somebody's complaint about an event, a room or a user."""

    report_id: str
    received_ms: int
    reporter: UserID
    room_id: RoomID | None = None
    event_id: EventID | None = None
    user_id: UserID | None = None
    reason: str | None = None
    score: int | None = None


_COLUMNS = ("report_id", "received_ms", "reporter", "room", "event_id", "user_name", "reason", "score")


def add(txn: Transaction, report: Report) -> None:
    txn.insert(
        "reports",
        _COLUMNS,
        (
            report.report_id,
            report.received_ms,
            txn.intern(report.reporter),
            None if report.room_id is None else txn.intern(report.room_id),
            report.event_id,
            None if report.user_id is None else txn.intern(report.user_id),
            report.reason,
            report.score,
        ),
    )


def list_latest(txn: Transaction, *, limit: int) -> list[Report]:
    """The latest reports, latest first."""
    rows = txn.all(f"SELECT {', '.join(_COLUMNS)} FROM reports ORDER BY received_ms DESC LIMIT ?", limit)
    return [
        Report(
            report_id,
            received_ms,
            UserID(txn.interned(reporter)),
            None if room is None else RoomID(txn.interned(room)),
            event_id,
            None if user is None else UserID(txn.interned(user)),
            reason,
            score,
        )
        for report_id, received_ms, reporter, room, event_id, user, reason, score in rows
    ]
