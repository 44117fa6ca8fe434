"""Whose devices and cross-signing keys changed when, who shares rooms with whom, and copies of remote users' lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from homeserver.ids import RoomID, ServerName, UserID, domain_of
from storage.transaction import Slot, Transaction

CHANGES_KEPT = 100
"""Changes remembered for each user."""
_NEVER = 2**62
_AT_ONCE = 500


class _Content(msgspec.Struct):
    membership: str = "leave"


class _Member(msgspec.Struct):
    content: _Content


_decode_member: Any = msgspec.json.Decoder(_Member).decode


class RemoteList(NamedTuple):
    """Our copy of a remote user's devices: the last change of theirs that is in it, and since when we follow."""

    stream_id: int
    position: int
    is_outdated: bool


class Sharing(NamedTuple):
    """With whom a user has begun to share rooms, and with whom they share none any more."""

    gained: set[UserID]
    lost: set[UserID]


# Changes.


def record(
    txn: Transaction, user_id: str, device_id: str, position: Slot, *, viewer: str | None = None
) -> None:
    """Remember that a device of the user, or with no device ID their cross-signing keys, changed (for a viewer)."""
    txn.insert(
        "device_list_changes",
        ("position", "user_name", "device_id", "viewer"),
        (position, txn.intern(user_id), device_id, None if viewer is None else txn.intern(viewer)),
    )


def forget_old_changes(txn: Transaction, user_id: str) -> None:
    """Keep the newest changes of a user only."""
    user = txn.intern(user_id)
    oldest = txn.value(
        "SELECT position FROM device_list_changes WHERE user_name = ? ORDER BY position DESC LIMIT 1 OFFSET ?",
        user,
        CHANGES_KEPT,
    )
    if oldest is not None:
        txn.execute("DELETE FROM device_list_changes WHERE user_name = ? AND position <= ?", user, oldest)


def last_change(txn: Transaction, user_id: str, *, before: int | None = None) -> int:
    """The position of the newest change of a device of the user (before a position), 0 if there is none."""
    found = txn.value(
        "SELECT MAX(position) FROM device_list_changes WHERE user_name = ? AND position < ? AND device_id <> ''",
        txn.find_interned(user_id),
        _NEVER if before is None else before,
    )
    return int(found or 0)


def changed_users(txn: Transaction, viewer: str, after: int, until: int) -> set[UserID]:
    """The viewer and those who share a room with them, as far as their keys changed in (after, until]."""
    me = txn.find_interned(viewer)
    rows = txn.all(
        "SELECT DISTINCT n.value FROM device_list_changes c JOIN names n ON n.nid = c.user_name"
        " WHERE c.position > ? AND c.position <= ? AND (c.viewer IS NULL OR c.viewer = ?)"
        " AND (c.user_name = ? OR EXISTS (SELECT 1 FROM membership a"
        " JOIN membership b ON b.user_name = ? AND b.room = a.room AND b.membership = 'join'"
        " WHERE a.user_name = c.user_name AND a.membership = 'join'))",
        after,
        until,
        me,
        me,
        me,
    )
    return {UserID(str(user)) for (user,) in rows}


def is_change(txn: Transaction, position: int) -> bool:
    """Whether the log entry there told of keys that others see."""
    return txn.one("SELECT 1 FROM device_list_changes WHERE position = ?", position) is not None


# Who shares rooms.


def local_users_sharing(txn: Transaction, user_id: str) -> frozenset[UserID]:
    """The local users who are joined to a room with the user, themselves included if they are local."""
    rows = txn.all(
        "SELECT DISTINCT n.value FROM membership a JOIN membership b ON b.room = a.room"
        " AND b.membership = 'join' AND b.local = 1 JOIN names n ON n.nid = b.user_name"
        " WHERE a.user_name = ? AND a.membership = 'join'",
        txn.find_interned(user_id),
    )
    return frozenset(UserID(str(user)) for (user,) in rows)


def servers_sharing(txn: Transaction, user_id: str, *, except_room: str | None = None) -> set[ServerName]:
    """The other servers with a user in a room that the user is joined to (but for one room)."""
    excepted = None if except_room is None else txn.find_interned(except_room)
    rows = txn.all(
        "SELECT DISTINCT n.value FROM membership a JOIN membership b ON b.room = a.room"
        " AND b.membership = 'join' AND b.local = 0 JOIN names n ON n.nid = b.user_name"
        " WHERE a.user_name = ? AND a.membership = 'join' AND a.room <> ?",
        txn.find_interned(user_id),
        0 if excepted is None else excepted,
    )
    return {domain_of(user) for (user,) in rows}


def is_shared_with_us(txn: Transaction, user_id: str, *, since: int | None = None) -> bool:
    """Whether a local user is joined to a room with the user, and both have been since a position."""
    rows = txn.all(
        "SELECT 1 FROM membership a JOIN membership b ON b.room = a.room AND b.membership = 'join'"
        " AND b.local = 1 AND b.joined_at <= ? WHERE a.user_name = ? AND a.membership = 'join'"
        " AND a.joined_at <= ? LIMIT 1",
        _NEVER if since is None else since,
        txn.find_interned(user_id),
        _NEVER if since is None else since,
    )
    return bool(rows)


def sharing_changes(
    txn: Transaction, viewer: str, after: int, until: int, *, moved_rooms: Collection[RoomID] | None = None
) -> Sharing:
    """How the circle of those who share a room with the viewer changed in (after, until].

    `moved_rooms` are the rooms in which anybody's membership changed since `after`, if that is known.
    """
    me = txn.find_interned(viewer)
    if me is None:
        return Sharing(set(), set())
    past = _Past(txn)
    own = past.rooms_of(me)
    before = {room for room, row in own.items() if past.is_joined(row, after)}
    now = {room for room, row in own.items() if past.is_joined(row, until)}
    candidates: set[int] = set()
    # Of those who were out of sight for a while, nobody knows what happened meanwhile.
    returned = {room for room in before & now if own[room].has_returned(after)}
    for room in (before ^ now) | returned:
        candidates.update(past.ever_joined(room, after))
    kept = before & now
    if moved_rooms is not None:
        kept &= {txn.find_interned(room) or 0 for room in moved_rooms}
    for room in kept:
        candidates.update(past.moved(room, after))
    candidates.discard(me)
    gained: set[UserID] = set()
    lost: set[UserID] = set()
    for candidate, rooms in past.rooms_with(me, candidates):
        shared_before = any(room in before and past.is_joined(row, after) for room, row in rooms.items())
        shared_now = any(room in now and past.is_joined(row, until) for room, row in rooms.items())
        always = any(
            room in before & now - returned
            and past.is_joined(row, after)
            and past.is_joined(row, until)
            and not row.has_returned(after)
            for room, row in rooms.items()
        )
        if shared_now and not (shared_before and always):
            gained.add(UserID(txn.interned(candidate)))
        elif shared_before and not shared_now:
            lost.add(UserID(txn.interned(candidate)))
    return Sharing(gained, lost)


class _Row(NamedTuple):
    membership: str
    position: int
    event: int
    joined_at: int

    def has_returned(self, after: int) -> bool:
        """Whether the user's present stay began after a position."""
        return self.membership == "join" and self.joined_at > after


class _Past:
    """Reads memberships as they were: a changed one is followed back, event by event."""

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn

    def rooms_of(self, user: int) -> dict[int, _Row]:
        """The user's membership of each room."""
        rows = self._txn.all(
            "SELECT room, membership, position, event, joined_at FROM membership WHERE user_name = ?", user
        )
        return {int(room): _Row(*row) for room, *row in rows}

    def rooms_with(self, other: int, users: Iterable[int]) -> Iterable[tuple[int, dict[int, _Row]]]:
        """The memberships of users in the rooms that another has any membership of."""
        numbers = sorted(users)
        for first in range(0, len(numbers), _AT_ONCE):
            some = numbers[first : first + _AT_ONCE]
            found: dict[int, dict[int, _Row]] = {user: {} for user in some}
            for user, room, *row in self._txn.all(
                "SELECT m.user_name, m.room, m.membership, m.position, m.event, m.joined_at FROM membership m"
                " JOIN membership o ON o.user_name = ? AND o.room = m.room"
                f" WHERE m.user_name IN ({', '.join('?' * len(some))})",
                other,
                *some,
            ):
                found[int(user)][int(room)] = _Row(*row)
            yield from found.items()

    def ever_joined(self, room: int, after: int) -> Iterable[int]:
        """Whoever is joined, or may have been at some time since `after`."""
        rows = self._txn.all(
            "SELECT user_name FROM membership WHERE room = ? AND (membership = 'join' OR position > ?)",
            room,
            after,
        )
        return (int(user) for (user,) in rows)

    def moved(self, room: int, after: int) -> Iterable[int]:
        """Whose membership changed since `after`."""
        rows = self._txn.all("SELECT user_name FROM membership WHERE room = ? AND position > ?", room, after)
        return (int(user) for (user,) in rows)

    def is_joined(self, row: _Row, at: int) -> bool:
        """Whether the user was joined at a position."""
        if row.position <= at:
            return row.membership == "join"
        event: int | None = row.event
        while event is not None:
            found = self._txn.one("SELECT position, replaces, json FROM events WHERE number = ?", event)
            if found is None:
                return False
            position, event, json = found
            # History that was fetched, or came with a room's state, was so before anything here happened.
            if position is None or position <= at:
                return _is_join(bytes(json))
        return False


def _is_join(event_json: bytes) -> bool:
    return bool(_decode_member(event_json).content.membership == "join")


# Remote users.


def find_remote(txn: Transaction, user_id: str) -> RemoteList | None:
    row = txn.one(
        "SELECT stream_id, position, outdated FROM remote_device_lists WHERE user_name = ?",
        txn.find_interned(user_id),
    )
    return None if row is None else RemoteList(int(row[0]), int(row[1]), bool(row[2]))


def save_remote(txn: Transaction, user_id: str, stream_id: int, position: Slot | int) -> None:
    """We have the user's devices as of their server's change `stream_id`, and follow them from `position`."""
    txn.put(
        "remote_device_lists",
        ("user_name", "stream_id", "position", "outdated"),
        (txn.intern(user_id), stream_id, position, 0),
        ("user_name",),
    )


def advance_remote(txn: Transaction, user_id: str, stream_id: int) -> None:
    txn.execute(
        "UPDATE remote_device_lists SET stream_id = ? WHERE user_name = ?", stream_id, txn.intern(user_id)
    )


def mark_outdated(txn: Transaction, user_id: str) -> bool:
    """What we have of the user's devices may be wrong; False if we have nothing, or knew."""
    return (
        txn.execute(
            "UPDATE remote_device_lists SET outdated = 1 WHERE user_name = ? AND outdated = 0",
            txn.intern(user_id),
        )
        == 1
    )


def list_outdated(txn: Transaction, limit: int) -> list[UserID]:
    """Remote users whose devices we have to ask for again."""
    rows = txn.all(
        "SELECT n.value FROM remote_device_lists r JOIN names n ON n.nid = r.user_name WHERE r.outdated = 1"
        " ORDER BY r.user_name LIMIT ?",
        limit,
    )
    return [UserID(str(user)) for (user,) in rows]


def forget_remote(txn: Transaction, user_id: str) -> None:
    """We no longer follow the user."""
    txn.execute("DELETE FROM remote_device_lists WHERE user_name = ?", txn.intern(user_id))
