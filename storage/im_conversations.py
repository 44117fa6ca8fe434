"""The projection of conversations: rooms with their newest message, and what each local user has said about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from homeserver.ids import RoomID, UserID
from storage.transaction import Transaction

DM, GROUP, ROOM = 1, 2, 3
_AT_ONCE = 100

COUNTABLE = (
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.poll.start",
    "m.call.invite",
    "im.hearth.custom",
)
"""What a conversation is ordered by, previews, and counts as unread."""


class Head(NamedTuple):
    """A room as conversations show it; `last_event` is the number of its newest message."""

    room: int
    kind: int
    last_event: int | None
    last_position: int
    last_seq: int


class Mine(NamedTuple):
    """What a user has said about a conversation, and the position of the last thing they said in it."""

    pinned: bool = False
    pin_order: float = 0.0
    hidden_seq: int | None = None
    cleared_position: int = 0
    marked_unread: bool = False
    sent_position: int = 0


class Listed(NamedTuple):
    """A conversation in a user's list."""

    room_id: RoomID
    room: int
    kind: int
    last_event: int | None
    last_position: int
    last_seq: int
    joined_at: int
    read_position: int
    mine: Mine

    @property
    def order(self) -> tuple[int, float, int, int]:
        """Pinned ones first, in their own order; then by the newest message."""
        pinned = self.mine.pinned
        return (0 if pinned else 1, self.mine.pin_order if pinned else 0.0, -self.last_position, self.room)


def find_head(txn: Transaction, room: int) -> Head | None:
    row = txn.one("SELECT room, kind, last_event, last_position, last_seq FROM im_rooms WHERE room = ?", room)
    return None if row is None else Head(*row)


def save_head(txn: Transaction, head: Head) -> None:
    txn.put("im_rooms", Head._fields, head, ("room",))


def remove_head(txn: Transaction, room: int) -> None:
    txn.execute("DELETE FROM im_rooms WHERE room = ?", room)


def newest_countable(txn: Transaction, room: int) -> tuple[int, int, int] | None:
    """(number, position, seq) of the room's newest message."""
    kinds = _countable(txn)
    if not kinds:
        return None
    row = txn.one(
        "SELECT number, position, seq FROM events WHERE room = ? AND seq IS NOT NULL AND position IS NOT NULL"
        f" AND flags & 7 = 0 AND state_key IS NULL AND type IN ({_marks(kinds)}) ORDER BY position DESC LIMIT 1",
        room,
        *kinds,
    )
    return None if row is None else (int(row[0]), int(row[1]), int(row[2]))


def last_sent(txn: Transaction, room: int, user: int) -> int:
    """The position of the last message that the user sent to the room; 0 if there is none."""
    kinds = _countable(txn)
    if not kinds:
        return 0
    found = txn.value(
        "SELECT position FROM events WHERE room = ? AND sender = ? AND seq IS NOT NULL AND flags & 7 = 0"
        f" AND state_key IS NULL AND type IN ({_marks(kinds)}) AND position > 0 ORDER BY position DESC LIMIT 1",
        room,
        user,
        *kinds,
    )
    return max(int(found or 0), 0)


def senders(txn: Transaction, room: int) -> list[int]:
    """Everybody who has said something in the room."""
    return [
        int(sender)
        for (sender,) in txn.all(
            "SELECT DISTINCT sender FROM events WHERE room = ? AND seq IS NOT NULL AND state_key IS NULL",
            room,
        )
    ]


def find_mine(txn: Transaction, user: int, room: int) -> Mine:
    row = txn.one(
        "SELECT pinned, pin_order, hidden_seq, cleared_position, marked_unread, sent_position"
        " FROM im_conversations WHERE user_name = ? AND room = ?",
        user,
        room,
    )
    return Mine() if row is None else _mine(row)


def save_mine(txn: Transaction, user: int, room: int, mine: Mine) -> None:
    txn.put(
        "im_conversations",
        ("user_name", "room", *Mine._fields),
        (
            user,
            room,
            int(mine.pinned),
            mine.pin_order,
            mine.hidden_seq,
            mine.cleared_position,
            int(mine.marked_unread),
            mine.sent_position,
        ),
        ("user_name", "room"),
    )


def remove(txn: Transaction, room: int) -> None:
    """Forget everything about a room: it will be read again."""
    txn.execute("DELETE FROM im_rooms WHERE room = ?", room)
    txn.execute("DELETE FROM im_conversations WHERE room = ?", room)


# A user's conversations with what they are ordered by, and no more: of the others nothing else is looked up.
_ORDERED = (
    "SELECT m.room, m.user_name, m.joined_at, h.kind, h.last_event, h.last_position, h.last_seq,"
    " COALESCE(c.pinned, 0) AS pinned, COALESCE(c.pin_order, 0) AS pin_order, c.hidden_seq,"
    " COALESCE(c.cleared_position, 0) AS cleared_position, COALESCE(c.marked_unread, 0) AS marked_unread,"
    " COALESCE(c.sent_position, 0) AS sent_position,"
    " CASE WHEN c.pinned = 1 THEN 0 ELSE 1 END AS rank,"
    " CASE WHEN c.pinned = 1 THEN c.pin_order ELSE 0 END AS place, -h.last_position AS newest"
    " FROM membership m JOIN im_rooms h ON h.room = m.room"
    " LEFT JOIN im_conversations c ON c.user_name = m.user_name AND c.room = m.room"
    " WHERE m.user_name = ? AND m.membership = 'join'"
)
_DETAILS = (
    "SELECT n.value, k.room, k.kind, k.last_event, k.last_position, k.last_seq, k.joined_at,"
    " COALESCE((SELECT MAX(p.event_position) FROM receipts p WHERE p.room = k.room AND p.user_name = k.user_name"
    " AND p.thread_id IN ('', 'main')), 0),"
    " k.pinned, k.pin_order, k.hidden_seq, k.cleared_position, k.marked_unread, k.sent_position"
)


def list_of_user(
    txn: Transaction,
    user_id: str,
    *,
    after: tuple[int, float, int, int] | None = None,
    limit: int | None = None,
    kind: int | None = None,
    is_shown: bool = False,
) -> list[Listed]:
    """The user's conversations in the order of the list, from behind a place on; `is_shown` leaves hidden ones out."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    conditions, params = ["1 = 1"], [user]
    if after is not None:
        conditions.append("(k.rank, k.place, k.newest, k.room) > (?, ?, ?, ?)")
        params += after  # type: ignore[arg-type]  # parameters are of any kind
    if kind is not None:
        conditions.append("k.kind = ?")
        params.append(kind)
    if is_shown:
        conditions.append("(k.hidden_seq IS NULL OR k.last_seq > k.hidden_seq)")
    order = "ORDER BY k.rank, k.place, k.newest, k.room"
    rows = txn.all(
        f"{_DETAILS} FROM (SELECT * FROM ({_ORDERED}) k WHERE {' AND '.join(conditions)} {order} LIMIT ?) k"
        f" JOIN names n ON n.nid = k.room {order}",
        *params,
        2**31 if limit is None else limit,
    )
    return [_listed(row) for row in rows]


def find(txn: Transaction, user_id: str, room_id: str) -> Listed | None:
    """One of the user's conversations."""
    user, room = txn.find_interned(user_id), txn.find_interned(room_id)
    if user is None or room is None:
        return None
    row = txn.one(f"{_DETAILS} FROM ({_ORDERED} AND m.room = ?) k JOIN names n ON n.nid = k.room", user, room)
    return None if row is None else _listed(row)


def unread(txn: Transaction, user_id: str, listed: Listed, ignored: Iterable[UserID]) -> tuple[int, int]:
    """How many messages are new to the user, and the sequence number of the last one that is not."""
    return unread_of_all(txn, user_id, [listed], ignored)[listed.room]


def unread_of_all(
    txn: Transaction, user_id: str, listed: Sequence[Listed], ignored: Iterable[UserID]
) -> dict[int, tuple[int, int]]:
    """As `unread`, of several conversations by the numbers of their rooms: a query for each hundred."""
    user, kinds = txn.find_interned(user_id), _countable(txn)
    left_out = [user, *(nid for each in ignored if (nid := txn.find_interned(each)) is not None)]
    found: dict[int, tuple[int, int]] = {}
    for first in range(0, len(listed), _AT_ONCE):
        floors: list[int] = []
        chunk = listed[first : first + _AT_ONCE]
        for each in chunk:
            floors += [each.room, read_position(each)]
        new = (
            "(SELECT COUNT(*) FROM events e WHERE e.room = w.room AND e.position > w.floor AND e.seq IS NOT NULL"
            f" AND e.flags & 7 = 0 AND e.state_key IS NULL AND e.type IN ({_marks(kinds)}) AND e.redacted_by IS NULL"
            f" AND e.sender NOT IN ({_marks(left_out)}) AND NOT EXISTS (SELECT 1 FROM im_hidden h"
            " WHERE h.user_name = ? AND h.room = e.room AND h.event_id = e.event_id))"
        )
        rows = txn.all(
            f"WITH w (room, floor) AS (VALUES {', '.join(['(?, ?)'] * len(chunk))})"
            f" SELECT w.room, {new if kinds else '0'},"
            " (SELECT e.seq FROM events e WHERE e.room = w.room AND e.position <= w.floor AND e.seq IS NOT NULL"
            " AND e.flags & 7 = 0 ORDER BY e.position DESC LIMIT 1) FROM w",
            *floors,
            *([*kinds, *left_out, user] if kinds else []),
        )
        found.update({int(room): (int(count), max(int(seq or 0), 0)) for room, count, seq in rows})
    return found


def read_position(listed: Listed) -> int:
    """Up to where nothing is new to the user: what they read, cleared or answered, or what came before them."""
    mine = listed.mine
    return max(listed.read_position, mine.cleared_position, mine.sent_position, listed.joined_at)


def seq_at(txn: Transaction, room: int, position: int) -> int:
    """The sequence number of the last numbered event at or before a place; 0 before the first."""
    found = txn.value(
        "SELECT seq FROM events WHERE room = ? AND position <= ? AND seq IS NOT NULL AND flags & 7 = 0"
        " ORDER BY position DESC LIMIT 1",
        room,
        position,
    )
    return max(int(found or 0), 0)


def rooms(txn: Transaction, types: Sequence[str]) -> list[int]:
    """Every room that this server knows, or keeps data of these types with, and every one that has rows here."""
    rows = txn.all(
        "SELECT room FROM room_heads UNION SELECT room FROM im_rooms UNION SELECT room FROM im_conversations"
        f" UNION SELECT room FROM account_data WHERE room <> 0 AND type IN ({_marks(types)})",
        *types,
    )
    return sorted(int(room) for (room,) in rows)


def data_owners(txn: Transaction, room: int, types: Sequence[str]) -> list[int]:
    """Everybody who keeps data of these types with a room."""
    rows = txn.all(
        f"SELECT DISTINCT user_name FROM account_data WHERE room = ? AND type IN ({_marks(types)})",
        room,
        *types,
    )
    return [int(user) for (user,) in rows]


def _countable(txn: Transaction) -> list[int]:
    return txn.find_all_interned(COUNTABLE)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _mine(row: Sequence[Any]) -> Mine:
    pinned, order, hidden_seq, cleared, marked, sent = row
    return Mine(bool(pinned), float(order), hidden_seq, int(cleared), bool(marked), int(sent))


def _listed(row: Sequence[Any]) -> Listed:
    room_id, room, kind, last_event, last_position, last_seq, joined_at, read, *mine = row
    return Listed(
        RoomID(room_id), room, kind, last_event, last_position, last_seq, joined_at, read, _mine(mine)
    )
