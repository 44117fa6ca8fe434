"""Who is, was or may be in which room: the current membership of each user, one row a pair."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import RoomID, UserID
from storage.transaction import Slot, Transaction


class Membership(NamedTuple):
    """A user's current membership of a room, the event that made it so, and where in the log that was."""

    room_id: RoomID
    user_id: UserID
    membership: str
    event: int
    sender: UserID
    position: int
    forgotten: bool
    joined_at: int


_SELECT = (
    "SELECT r.value, u.value, m.membership, m.event, s.value, m.position, m.forgotten, m.joined_at FROM membership m"
    " JOIN names r ON r.nid = m.room JOIN names u ON u.nid = m.user_name JOIN names s ON s.nid = m.sender"
)


def _membership(row: tuple[object, ...]) -> Membership:
    room, user, membership, event, sender, position, forgotten, joined_at = row
    return Membership(
        RoomID(str(room)),
        UserID(str(user)),
        str(membership),
        int(str(event)),
        UserID(str(sender)),
        int(str(position)),
        bool(forgotten),
        int(str(joined_at)),
    )


def save(
    txn: Transaction,
    *,
    room: int,
    user_id: str,
    membership: str,
    event: int,
    sender: str,
    position: Slot | int,
    joined_at: Slot | int,
    local: bool,
) -> None:
    txn.put(
        "membership",
        ("user_name", "room", "membership", "event", "sender", "position", "joined_at", "forgotten", "local"),
        (
            txn.intern(user_id),
            room,
            membership,
            event,
            txn.intern(sender),
            position,
            joined_at,
            0,
            int(local),
        ),
        ("user_name", "room"),
    )


def stays(txn: Transaction, room: int) -> dict[UserID, int]:
    """Where the present stay of each local member began."""
    rows = txn.all(
        "SELECT n.value, m.joined_at FROM membership m JOIN names n ON n.nid = m.user_name"
        " WHERE m.room = ? AND m.membership = 'join' AND m.local = 1",
        room,
    )
    return {UserID(str(user)): int(joined_at) for user, joined_at in rows}


def find(txn: Transaction, room_id: str, user_id: str) -> Membership | None:
    room, user = txn.find_interned(room_id), txn.find_interned(user_id)
    if room is None or user is None:
        return None
    row = txn.one(f"{_SELECT} WHERE m.user_name = ? AND m.room = ?", user, room)
    return None if row is None else _membership(row)


def list_of_user(txn: Transaction, user_id: str) -> list[Membership]:
    """Every room that the user has had anything to do with and not forgotten."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    return [_membership(row) for row in txn.all(f"{_SELECT} WHERE m.user_name = ? AND m.forgotten = 0", user)]


def list_of_room(txn: Transaction, room_id: str, membership: str) -> list[Membership]:
    room = txn.find_interned(room_id)
    if room is None:
        return []
    return [
        _membership(row)
        for row in txn.all(f"{_SELECT} WHERE m.room = ? AND m.membership = ?", room, membership)
    ]


def some_joined(txn: Transaction, room_id: str, limit: int) -> list[UserID]:
    """Joined members of a room, at most so many."""
    rows = txn.all(
        "SELECT n.value FROM membership m JOIN names n ON n.nid = m.user_name"
        " WHERE m.room = ? AND m.membership = 'join' LIMIT ?",
        txn.find_interned(room_id),
        limit,
    )
    return [UserID(str(user)) for (user,) in rows]


def is_joined(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether the user's current membership of the room is `join`."""
    found = find(txn, room_id, user_id)
    return found is not None and found.membership == "join"


def forget(txn: Transaction, room_id: str, user_id: str) -> None:
    room, user = txn.find_interned(room_id), txn.find_interned(user_id)
    txn.execute("UPDATE membership SET forgotten = 1 WHERE user_name = ? AND room = ?", user, room)


def rooms_shared(txn: Transaction, one: str, other: str) -> list[RoomID]:
    """The rooms that both users are joined to."""
    first, second = txn.find_interned(one), txn.find_interned(other)
    if first is None or second is None:
        return []
    rows = txn.all(
        "SELECT n.value FROM membership a JOIN membership b ON b.room = a.room JOIN names n ON n.nid = a.room"
        " WHERE a.user_name = ? AND b.user_name = ? AND a.membership = 'join' AND b.membership = 'join'",
        first,
        second,
    )
    return [RoomID(str(room)) for (room,) in rows]


def users_sharing_rooms(txn: Transaction, user_id: str) -> set[UserID]:
    """Every user who is joined to a room that `user_id` is joined to, themselves included."""
    user = txn.find_interned(user_id)
    if user is None:
        return set()
    rows = txn.all(
        "SELECT DISTINCT n.value FROM membership a JOIN membership b ON b.room = a.room"
        " JOIN names n ON n.nid = b.user_name"
        " WHERE a.user_name = ? AND a.membership = 'join' AND b.membership = 'join'",
        user,
    )
    return {UserID(str(other)) for (other,) in rows}
