"""Who should read whose moments and does not, and who should not and does: friendships beside memberships."""

from __future__ import annotations

from homeserver.ids import NAMESPACE, UserID
from storage.transaction import Transaction

CONTACT = f"{NAMESPACE}contact"
"""Room account data that the facade writes for whoever asks or accepts by it."""

_TAKES_PART = (
    "(EXISTS (SELECT 1 FROM account_data a WHERE a.user_name = u.nid AND a.type = ?)"
    " OR EXISTS (SELECT 1 FROM im_moments_rooms o WHERE o.author = u.value))"
)

Pair = tuple[UserID, UserID]
"""An author, and somebody who reads their moments."""


def missing(txn: Transaction, author: str | None = None) -> list[Pair]:
    """The friends of local authors (or of one) who are neither in nor invited to the room of their moments.

    Only of authors who use the facade: nobody else is to find rooms that they know nothing of.
    """
    condition, params = _of_author(author)
    rows = txn.all(
        "SELECT u.value, p.value FROM im_directs d JOIN names u ON u.nid = d.user_name"
        " JOIN names p ON p.nid = d.peer WHERE d.friends = 1 AND NOT EXISTS ("
        " SELECT 1 FROM im_moments_rooms r JOIN membership m ON m.room = r.room AND m.user_name = d.peer"
        " WHERE r.author = u.value AND r.visibility = 'friends' AND m.membership IN ('join', 'invite'))"
        f" AND {_TAKES_PART}{condition} ORDER BY u.value, p.value",
        CONTACT,
        *params,
    )
    return _pairs(rows)


def takes_part(txn: Transaction, author: str) -> bool:
    """Whether the user has befriended somebody by the facade, or has rooms of moments."""
    sql = f"SELECT 1 FROM names u WHERE u.value = ? AND {_TAKES_PART}"
    return txn.value(sql, author, CONTACT) is not None


def strangers(txn: Transaction, author: str | None = None) -> list[Pair]:
    """Those who are in the rooms of moments, or invited to them, and have been friends of the author but are none."""
    condition, params = _of_author(author)
    found = []
    for mine, theirs in (("u", "p"), ("p", "u")):
        # From the author's side, and from the side of readers of other servers' authors.
        rows = txn.all(
            f"SELECT {mine}.value, {theirs}.value FROM im_directs d JOIN names u ON u.nid = d.user_name"
            f" JOIN names p ON p.nid = d.peer JOIN im_moments_rooms r ON r.author = {mine}.value"
            f" JOIN membership m ON m.room = r.room AND m.user_name = {theirs}.nid"
            " WHERE r.visibility = 'friends' AND m.membership IN ('join', 'invite') AND NOT EXISTS ("
            " SELECT 1 FROM im_directs o WHERE o.user_name = d.user_name AND o.peer = d.peer AND o.friends = 1)"
            f"{condition.replace('u.value', f'{mine}.value')}",
            *params,
        )
        found += _pairs(rows)
    return sorted(set(found))


def since_ms(txn: Transaction, author: str, reader: str) -> int:
    """When the two became friends."""
    return int(
        txn.value(
            "SELECT MAX(since_ms) FROM im_directs WHERE user_name = ? AND peer = ? AND friends = 1",
            txn.find_interned(author),
            txn.find_interned(reader),
        )
        or 0
    )


def pairs_of_room(txn: Transaction, room_id: str) -> list[Pair]:
    """The two of a room of two, from the side of each local one."""
    rows = txn.all(
        "SELECT u.value, p.value FROM im_directs d JOIN names u ON u.nid = d.user_name"
        " JOIN names p ON p.nid = d.peer WHERE d.room = ?",
        txn.find_interned(room_id),
    )
    return _pairs(rows)


def _of_author(author: str | None) -> tuple[str, list[str]]:
    return ("", []) if author is None else (" AND u.value = ?", [author])


def _pairs(rows: list[tuple[object, ...]]) -> list[Pair]:
    return [(UserID(str(author)), UserID(str(reader))) for author, reader in rows]
