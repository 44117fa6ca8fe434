"""Joins whose outcome is not known: another server may have let a user in without our having heard of it."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import RoomID, ServerName, UserID
from storage.transaction import Transaction


class UnsureJoin(NamedTuple):
    """A join that was sent to a server. `content` is the member event's, as JSON."""

    room_id: RoomID
    user_id: UserID
    server: ServerName
    content: bytes
    since_ms: int


def save(txn: Transaction, join: UnsureJoin) -> None:
    txn.put(
        "unsure_joins",
        ("room_id", "user_id", "server", "content", "since_ms"),
        (join.room_id, join.user_id, join.server, join.content, join.since_ms),
        ("room_id", "user_id"),
    )


def delete(txn: Transaction, room_id: str, user_id: str) -> None:
    """The outcome is known."""
    txn.execute("DELETE FROM unsure_joins WHERE room_id = ? AND user_id = ?", room_id, user_id)


def find(txn: Transaction, room_id: str, user_id: str) -> UnsureJoin | None:
    row = txn.one(f"{_SELECT} WHERE room_id = ? AND user_id = ?", room_id, user_id)
    return None if row is None else _join(row)


def list_all(txn: Transaction) -> list[UnsureJoin]:
    return [_join(row) for row in txn.all(f"{_SELECT} ORDER BY since_ms")]


_SELECT = "SELECT room_id, user_id, server, content, since_ms FROM unsure_joins"


def _join(row: tuple[object, ...]) -> UnsureJoin:
    room_id, user_id, server, content, since_ms = row
    assert isinstance(content, bytes | memoryview)
    return UnsureJoin(
        RoomID(str(room_id)),
        UserID(str(user_id)),
        ServerName(str(server)),
        bytes(content),
        int(str(since_ms)),
    )
