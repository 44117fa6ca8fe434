"""Pushers as rows, and the events that notify a user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from homeserver.ids import DeviceID, RoomID, UserID
from storage.transaction import Transaction


class PusherRow(NamedTuple):
    """A pusher; `data` is JSON. `place` is None while it keeps up."""

    user_id: UserID
    app_id: str
    pushkey: str
    kind: str
    device_id: DeviceID | None
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: bytes
    enabled: bool
    created_ms: int
    last_success_ms: int | None = None
    failing_since_ms: int | None = None
    place: int | None = None

    @property
    def key(self) -> PusherKey:
        return PusherKey(self.user_id, self.app_id, self.pushkey)


class PusherKey(NamedTuple):
    """What tells one pusher from another."""

    user_id: UserID
    app_id: str
    pushkey: str


class Progress(NamedTuple):
    """How a pusher fares."""

    key: PusherKey
    place: int | None
    last_success_ms: int | None
    failing_since_ms: int | None


class NotifyingRoom(NamedTuple):
    """A room of a user, and since when what happens there concerns them."""

    room_id: RoomID
    membership: str
    since: int


_COLUMNS = (
    "app_id, pushkey, kind, device_id, app_display_name, device_display_name, profile_tag, lang, data, enabled,"
    " created_ms, last_success_ms, failing_since_ms, place"
)


def _row(user_id: object, *rest: object) -> PusherRow:
    row = PusherRow(UserID(str(user_id)), *rest)  # type: ignore[arg-type]  # the columns are those of _COLUMNS
    return row._replace(data=bytes(row.data), enabled=bool(row.enabled))


def list_all(txn: Transaction) -> list[PusherRow]:
    rows = txn.all(f"SELECT n.value, {_COLUMNS} FROM pushers p JOIN names n ON n.nid = p.user_name")
    return [_row(*row) for row in rows]


def list_of_user(txn: Transaction, user_id: str) -> list[PusherRow]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(f"SELECT {_COLUMNS} FROM pushers WHERE user_name = ? ORDER BY created_ms, pushkey", user)
    return [_row(user_id, *row) for row in rows]


def save(txn: Transaction, pusher: PusherRow) -> None:
    """Keep a pusher in the place of the one that has its key."""
    columns = tuple(name.strip() for name in _COLUMNS.split(","))
    values = (*pusher[1:9], pusher.data, int(pusher.enabled), *pusher[11:])
    txn.put(
        "pushers",
        ("user_name", *columns),
        (txn.intern(pusher.user_id), *values),
        ("user_name", "app_id", "pushkey"),
    )


def delete(txn: Transaction, key: PusherKey) -> None:
    txn.execute(
        "DELETE FROM pushers WHERE user_name = ? AND app_id = ? AND pushkey = ?",
        txn.find_interned(key.user_id),
        key.app_id,
        key.pushkey,
    )


def delete_of_others(txn: Transaction, key: PusherKey) -> None:
    """The device belongs to this user now: nobody else is pushed to there."""
    txn.execute(
        "DELETE FROM pushers WHERE app_id = ? AND pushkey = ? AND user_name <> ?",
        key.app_id,
        key.pushkey,
        txn.intern(key.user_id),
    )


def delete_of_device(txn: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    txn.execute(
        "DELETE FROM pushers WHERE user_name = ? AND device_id = ?", txn.find_interned(user_id), device_id
    )


def delete_of_user(txn: Transaction, user_id: UserID) -> None:
    txn.execute("DELETE FROM pushers WHERE user_name = ?", txn.find_interned(user_id))


def save_progress(txn: Transaction, progress: Iterable[Progress]) -> None:
    txn.many(
        "UPDATE pushers SET place = ?, last_success_ms = ?, failing_since_ms = ?"
        " WHERE user_name = ? AND app_id = ? AND pushkey = ?",
        [
            (
                each.place,
                each.last_success_ms,
                each.failing_since_ms,
                txn.find_interned(each.key.user_id),
                each.key.app_id,
                each.key.pushkey,
            )
            for each in progress
        ],
    )


def list_rooms(txn: Transaction, user_id: str) -> list[NotifyingRoom]:
    """The rooms that the user is in or invited to."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT n.value, m.membership, m.joined_at FROM membership m JOIN names n ON n.nid = m.room"
        " WHERE m.user_name = ? AND m.membership IN ('join', 'invite') AND m.forgotten = 0",
        user,
    )
    return [NotifyingRoom(RoomID(str(room)), str(membership), int(since)) for room, membership, since in rows]


def newest_notifying(
    txn: Transaction, room_id: str, *, since: int, before: int, limit: int
) -> list[tuple[int, int]]:
    """(position, event number) of the room's last events that notify somebody, newest first."""
    rows = txn.all(
        "SELECT position, number FROM events WHERE room = ? AND position >= ? AND position < ?"
        " AND notify IS NOT NULL AND flags & 7 = 0 ORDER BY position DESC LIMIT ?",
        txn.find_interned(room_id),
        since,
        before,
        limit,
    )
    return [(int(position), int(number)) for position, number in rows]
