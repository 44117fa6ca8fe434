"""Room aliases as rows."""

from __future__ import annotations

from homeserver.ids import RoomAlias, RoomID
from storage.transaction import Transaction


def find(txn: Transaction, alias: str) -> RoomID | None:
    found = find_with_creator(txn, alias)
    return None if found is None else found[0]


def find_with_creator(txn: Transaction, alias: str) -> tuple[RoomID, str] | None:
    row = txn.one(
        "SELECT n.value, a.creator FROM room_aliases a JOIN names n ON n.nid = a.room WHERE a.alias = ?",
        alias,
    )
    return None if row is None else (RoomID(str(row[0])), str(row[1]))


def list_of_room(txn: Transaction, room_id: str) -> list[RoomAlias]:
    room = txn.find_interned(room_id)
    rows = txn.all("SELECT alias FROM room_aliases WHERE room = ? ORDER BY alias", room)
    return [RoomAlias(str(alias)) for (alias,) in rows]


def add(txn: Transaction, alias: str, room_id: str, creator: str) -> bool:
    """Whether the alias was free."""
    return bool(
        txn.execute(
            "INSERT INTO room_aliases (alias, room, creator, servers) VALUES (?, ?, ?, '[]') ON CONFLICT DO NOTHING",
            alias,
            txn.intern(room_id),
            creator,
        )
    )


def remove(txn: Transaction, alias: str) -> None:
    txn.execute("DELETE FROM room_aliases WHERE alias = ?", alias)


def move_all(txn: Transaction, old: str, new: str) -> None:
    txn.execute("UPDATE room_aliases SET room = ? WHERE room = ?", txn.intern(new), txn.intern(old))
