"""Accounts as administrators page through them."""

from __future__ import annotations

from typing import Any

from homeserver.ids import RoomID, UserID
from storage.transaction import Transaction
from storage.users import Account, find

GROUP_KIND = 2
"""How the projection of conversations marks groups."""


def page_of_users(txn: Transaction, after: str, limit: int, part: str | None) -> list[Account]:
    """Local accounts by ID, those after one; of those whose ID has a part, if one is given."""
    condition, params = "", list[Any]()
    if part is not None:
        condition = " AND n.value LIKE ? ESCAPE '\\'"
        params.append(f"%{part.translate(_ESCAPED)}%")
    rows = txn.all(
        "SELECT n.value FROM users u JOIN names n ON n.nid = u.user_name WHERE n.value > ?"
        f"{condition} ORDER BY n.value LIMIT ?",
        after,
        *params,
        limit,
    )
    return [account for (user_id,) in rows if (account := find(txn, UserID(str(user_id)))) is not None]


def page_of_groups(txn: Transaction, after: str, limit: int) -> list[RoomID]:
    """Groups that conversations show, by ID, those after one."""
    rows = txn.all(
        "SELECT n.value FROM im_rooms r JOIN names n ON n.nid = r.room WHERE r.kind = ? AND n.value > ?"
        " ORDER BY n.value LIMIT ?",
        GROUP_KIND,
        after,
        limit,
    )
    return [RoomID(str(room_id)) for (room_id,) in rows]


_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
