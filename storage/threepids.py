"""Email addresses and phone numbers of local users, and the identity servers that were told of them."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import UserID
from storage.transaction import Transaction


class Threepid(NamedTuple):
    """An address that the user has proved to be theirs; `address` is in canonical form."""

    medium: str
    address: str
    validated_ms: int
    added_ms: int


def add(txn: Transaction, user_id: str, threepid: Threepid) -> None:
    """Give an address to a user; whoever had it before has it no more."""
    txn.put(
        "threepids",
        ("medium", "address", "user_name", "validated_ms", "added_ms"),
        (
            threepid.medium,
            threepid.address,
            txn.intern(user_id),
            threepid.validated_ms,
            threepid.added_ms,
        ),
        ("medium", "address"),
    )


def find_owner(txn: Transaction, medium: str, address: str) -> UserID | None:
    user = txn.value("SELECT user_name FROM threepids WHERE medium = ? AND address = ?", medium, address)
    return None if user is None else UserID(txn.interned(user))


def list_of_user(txn: Transaction, user_id: str) -> list[Threepid]:
    user = txn.find_interned(user_id)
    if user is None:
        return []
    rows = txn.all(
        "SELECT medium, address, validated_ms, added_ms FROM threepids WHERE user_name = ?"
        " ORDER BY added_ms, address",
        user,
    )
    return [Threepid(*row) for row in rows]


def delete(txn: Transaction, user_id: str, medium: str, address: str) -> bool:
    """Take an address from a user; False if they did not have it."""
    return (
        txn.execute(
            "DELETE FROM threepids WHERE medium = ? AND address = ? AND user_name = ?",
            medium,
            address,
            txn.intern(user_id),
        )
        == 1
    )


def delete_of_user(txn: Transaction, user_id: str) -> None:
    txn.execute("DELETE FROM threepids WHERE user_name = ?", txn.intern(user_id))


def add_binding(txn: Transaction, user_id: str, medium: str, address: str, id_server: str) -> None:
    """Remember that an identity server was told."""
    columns = ("user_name", "medium", "address", "id_server")
    txn.put("threepid_bindings", columns, (txn.intern(user_id), medium, address, id_server), columns)


def list_bindings(txn: Transaction, user_id: str) -> list[tuple[str, str, str]]:
    """(medium, address, identity server) of everything that identity servers know about the user."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    return [
        (str(medium), str(address), str(server))
        for medium, address, server in txn.all(
            "SELECT medium, address, id_server FROM threepid_bindings WHERE user_name = ?", user
        )
    ]


def delete_binding(txn: Transaction, user_id: str, medium: str, address: str, id_server: str) -> None:
    txn.execute(
        "DELETE FROM threepid_bindings WHERE user_name = ? AND medium = ? AND address = ? AND id_server = ?",
        txn.intern(user_id),
        medium,
        address,
        id_server,
    )
