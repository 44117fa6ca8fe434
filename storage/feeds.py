"""What a user's feed starts from: their rooms, and where each last moved."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from homeserver.ids import RoomID, UserID
from storage.transaction import Transaction


class FeedRoom(NamedTuple):
    """A room that the user has not forgotten; `moved` and `last_event` say where it last did."""

    room_id: RoomID
    membership: str
    event: int
    sender: UserID
    position: int
    joined_at: int
    moved: int
    last_event: int
    previous: str | None = None
    """What the membership was before, of a room that was left."""


class _Content(msgspec.Struct):
    membership: str | None = None


class _Member(msgspec.Struct):
    content: _Content


_decode_member = msgspec.json.Decoder(_Member).decode


def load(txn: Transaction, user_id: str) -> tuple[list[FeedRoom], int]:
    """The user's rooms, and the log position that they were read at."""
    position = int(txn.value("SELECT COALESCE(MAX(position), 0) FROM log") or 0)
    user = txn.find_interned(user_id)
    if user is None:
        return [], position
    rows = txn.all(
        "SELECT r.value, m.membership, m.event, s.value, m.position, m.joined_at,"
        " (SELECT MAX(e.position) FROM events e WHERE e.room = m.room AND m.membership = 'join'),"
        " (SELECT MAX(c.position) FROM receipts c WHERE c.room = m.room AND m.membership = 'join')"
        " FROM membership m JOIN names r ON r.nid = m.room JOIN names s ON s.nid = m.sender"
        " WHERE m.user_name = ? AND m.forgotten = 0",
        user,
    )
    before: dict[int, bytes] = dict(
        txn.all(
            "SELECT m.event, p.json FROM membership m JOIN events e ON e.number = m.event"
            " JOIN events p ON p.number = e.replaces"
            " WHERE m.user_name = ? AND m.forgotten = 0 AND m.membership IN ('leave', 'ban')",
            user,
        )
    )
    found = [
        FeedRoom(
            room,
            membership,
            event,
            sender,
            since,
            joined_at,
            max(since, events or 0, receipts or 0),
            max(since, events or 0),
            _decode_member(before[event]).content.membership if event in before else None,
        )
        for room, membership, event, sender, since, joined_at, events, receipts in rows
    ]
    return found, position
