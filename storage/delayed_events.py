"""Delayed events as rows: what is to be sent, by whom and when, and how it ended."""

from __future__ import annotations

from typing import NamedTuple

from storage.transaction import Transaction

SCHEDULED, SENT, CANCELLED, FAILED = "scheduled", "sent", "cancelled", "failed"


class DelayedRow(NamedTuple):
    """`content` and `error` are JSON; times are wall-clock ms."""

    delay_id: str
    sender: str
    device: str | None
    room_id: str
    type: str
    state_key: str | None
    content: bytes
    txn_id: str | None
    delay_ms: int
    running_since_ms: int
    state: str
    finalised_ms: int | None
    event_id: str | None
    error: bytes | None

    @property
    def due_ms(self) -> int:
        return self.running_since_ms + self.delay_ms


_SELECT = (
    "SELECT d.delay_id, n.value, d.device, d.room_id, d.type, d.state_key, d.content, d.txn_id, d.delay_ms,"
    " d.running_since_ms, d.state, d.finalised_ms, d.event_id, d.error"
    " FROM delayed_events d JOIN names n ON n.nid = d.sender"
)


def add(txn: Transaction, row: DelayedRow) -> None:
    txn.insert(
        "delayed_events",
        (
            "delay_id",
            "sender",
            "device",
            "room_id",
            "type",
            "state_key",
            "content",
            "txn_id",
            "delay_ms",
            "running_since_ms",
            "state",
        ),
        (
            row.delay_id,
            txn.intern(row.sender),
            row.device,
            row.room_id,
            row.type,
            row.state_key,
            row.content,
            row.txn_id,
            row.delay_ms,
            row.running_since_ms,
            row.state,
        ),
    )


def find(txn: Transaction, delay_id: str) -> DelayedRow | None:
    row = txn.one(f"{_SELECT} WHERE d.delay_id = ?", delay_id)
    return None if row is None else DelayedRow(*row)


def list_scheduled(txn: Transaction) -> list[DelayedRow]:
    return [DelayedRow(*row) for row in txn.all(f"{_SELECT} WHERE d.state = ?", SCHEDULED)]


def list_unfinished(txn: Transaction) -> list[DelayedRow]:
    """Those that were being sent, and of which nobody wrote down what became of them: the process ended first."""
    return [
        DelayedRow(*row)
        for row in txn.all(f"{_SELECT} WHERE d.state = ? AND d.event_id IS NULL AND d.error IS NULL", SENT)
    ]


def list_of_sender(txn: Transaction, user_id: str) -> list[DelayedRow]:
    """The user's delayed events, those that are due first first."""
    rows = txn.all(f"{_SELECT} WHERE d.sender = ?", txn.find_interned(user_id))
    return sorted((DelayedRow(*row) for row in rows), key=lambda row: row.due_ms)


def find_by_transaction(txn: Transaction, user_id: str, device: str | None, txn_id: str) -> DelayedRow | None:
    return next(
        (row for row in list_of_sender(txn, user_id) if row.txn_id == txn_id and row.device == device), None
    )


def restart(txn: Transaction, delay_id: str, now_ms: int) -> bool:
    """Whether the event was still scheduled, and its delay begins anew."""
    return bool(
        txn.execute(
            "UPDATE delayed_events SET running_since_ms = ? WHERE delay_id = ? AND state = ?",
            now_ms,
            delay_id,
            SCHEDULED,
        )
    )


def finalise(
    txn: Transaction,
    delay_id: str,
    state: str,
    now_ms: int,
    *,
    event_id: str | None = None,
    error: bytes | None = None,
) -> bool:
    """Whether the event was still scheduled, and has ended like this now."""
    return bool(
        txn.execute(
            "UPDATE delayed_events SET state = ?, finalised_ms = ?, event_id = ?, error = ?"
            " WHERE delay_id = ? AND state = ?",
            state,
            now_ms,
            event_id,
            error,
            delay_id,
            SCHEDULED,
        )
    )


def set_outcome(txn: Transaction, delay_id: str, *, event_id: str | None, error: bytes | None) -> None:
    """What sending has come to."""
    state = SENT if error is None else FAILED
    txn.execute(
        "UPDATE delayed_events SET state = ?, event_id = ?, error = ? WHERE delay_id = ?",
        state,
        event_id,
        error,
        delay_id,
    )


def forget_finalised(txn: Transaction, user_id: str, *, before_ms: int, keep: int) -> None:
    """Forget what ended long ago, and of one user's all but the last `keep`."""
    txn.execute("DELETE FROM delayed_events WHERE finalised_ms IS NOT NULL AND finalised_ms < ?", before_ms)
    txn.execute(
        "DELETE FROM delayed_events WHERE delay_id IN (SELECT delay_id FROM delayed_events"
        " WHERE sender = ? AND finalised_ms IS NOT NULL ORDER BY finalised_ms DESC LIMIT 1000000 OFFSET ?)",
        txn.find_interned(user_id),
        keep,
    )
