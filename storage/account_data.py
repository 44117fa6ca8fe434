"""What users keep on the server for their clients, per account and per room; contents are JSON as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.ids import RoomID, UserID
from storage.transaction import Slot, Transaction

_ACCOUNT = 0
"""Stands for the room in what belongs to the account as a whole."""


class AccountData(NamedTuple):
    """One type of account data; `room_id` is None for the account's own."""

    room_id: RoomID | None
    type: str
    content: bytes
    position: int


def _room(txn: Transaction, room_id: str | None) -> int | None:
    return _ACCOUNT if room_id is None else txn.find_interned(room_id)


def save(
    txn: Transaction, user_id: str, room_id: str | None, type: str, content: bytes, position: Slot | int
) -> None:
    room = _ACCOUNT if room_id is None else txn.intern(room_id)
    txn.put(
        "account_data",
        ("user_name", "room", "type", "content", "position"),
        (txn.intern(user_id), room, type, content, position),
        ("user_name", "room", "type"),
    )


def find(txn: Transaction, user_id: str, room_id: str | None, type: str) -> bytes | None:
    user, room = txn.find_interned(user_id), _room(txn, room_id)
    if user is None or room is None:
        return None
    content = txn.value(
        "SELECT content FROM account_data WHERE user_name = ? AND room = ? AND type = ?", user, room, type
    )
    return None if content is None else bytes(content)


def of_rooms(txn: Transaction, user_id: str, rooms: Sequence[int], type: str) -> dict[int, bytes]:
    """What the user keeps of this type for each of the rooms, by their numbers."""
    if not rooms:
        return {}
    marks = ", ".join("?" * len(rooms))
    rows = txn.all(
        f"SELECT room, content FROM account_data WHERE user_name = ? AND type = ? AND room IN ({marks})",
        txn.find_interned(user_id),
        type,
        *rooms,
    )
    return {int(room): bytes(content) for room, content in rows}


def list_of_room(txn: Transaction, user_id: str, room_id: str | None) -> dict[str, bytes]:
    """All that the user keeps for one room, or with None for the account, by type."""
    user, room = txn.find_interned(user_id), _room(txn, room_id)
    if user is None or room is None:
        return {}
    rows = txn.all(
        "SELECT type, content FROM account_data WHERE user_name = ? AND room = ? ORDER BY position",
        user,
        room,
    )
    return {str(type_): bytes(content) for type_, content in rows}


def list_after(txn: Transaction, user_id: str, position: int) -> list[AccountData]:
    """What the user's clients have not seen at `position`, in the order of the changes."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT n.value, d.type, d.content, d.position"
        " FROM account_data d LEFT JOIN names n ON n.nid = d.room"
        " WHERE d.user_name = ? AND d.position > ? ORDER BY d.position",
        user,
        position,
    )
    return [
        AccountData(None if room_id is None else RoomID(str(room_id)), str(type_), bytes(content), int(at))
        for room_id, type_, content, at in rows
    ]


def delete(txn: Transaction, user_id: str, room_id: str | None, type: str) -> bool:
    """Delete one type of account data; False if there was none."""
    return (
        txn.execute(
            "DELETE FROM account_data WHERE user_name = ? AND room = ? AND type = ?",
            txn.intern(user_id),
            _ACCOUNT if room_id is None else txn.intern(room_id),
            type,
        )
        == 1
    )


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM account_data WHERE user_name = ?", txn.intern(user_id))


def list_presence(txn: Transaction) -> dict[UserID, bytes]:
    """What every user has said of how they want to be shown (`im.hearth.presence`)."""
    rows = txn.all(
        "SELECT n.value, a.content FROM account_data a JOIN names n ON n.nid = a.user_name"
        " WHERE a.type = 'im.hearth.presence' AND a.room = 0"
    )
    return {UserID(str(user)): bytes(content) for user, content in rows}


def of_users(txn: Transaction, user_ids: Sequence[str], type: str) -> dict[UserID, bytes]:
    """What some users keep under one type for their accounts."""
    names = {nid: user for user in user_ids if (nid := txn.find_interned(user)) is not None}
    if not names:
        return {}
    marks = ", ".join("?" * len(names))
    rows = txn.all(
        f"SELECT user_name, content FROM account_data WHERE user_name IN ({marks}) AND room = ? AND type = ?",
        *names,
        _ACCOUNT,
        type,
    )
    return {UserID(names[int(nid)]): bytes(content) for nid, content in rows}
