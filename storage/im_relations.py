"""How users stand to one another, as the projections of friendships and requests say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeserver.ids import UserID
from storage.transaction import Transaction

_AT_ONCE = 500


def friends_among(txn: Transaction, user_id: str, others: Sequence[str]) -> set[UserID]:
    """Those of the others who are the user's friends."""
    query = (
        "SELECT n.value FROM im_directs d JOIN names n ON n.nid = d.peer"
        " WHERE d.user_name = ? AND d.friends = 1 AND d.peer IN ({})"
    )
    return _found(txn, query, user_id, others)


def asked_among(txn: Transaction, user_id: str, others: Sequence[str]) -> set[UserID]:
    """Those of the others whom the user has asked, and who have not answered yet."""
    query = (
        "SELECT n.value FROM im_friend_requests q JOIN names n ON n.nid = q.target"
        " WHERE q.sender = ? AND q.state = 'pending' AND q.target IN ({})"
    )
    return _found(txn, query, user_id, others)


def asking_among(txn: Transaction, user_id: str, others: Sequence[str]) -> set[UserID]:
    """Those of the others who have asked the user, and wait for an answer."""
    query = (
        "SELECT n.value FROM im_friend_requests q JOIN names n ON n.nid = q.sender"
        " WHERE q.target = ? AND q.state = 'pending' AND q.sender IN ({})"
    )
    return _found(txn, query, user_id, others)


def _found(txn: Transaction, query: str, user_id: str, others: Sequence[str]) -> set[UserID]:
    user = txn.find_interned(user_id)
    found: set[UserID] = set()
    if user is None:
        return found
    names = [nid for nid in (txn.find_interned(other) for other in dict.fromkeys(others)) if nid is not None]
    for first in range(0, len(names), _AT_ONCE):
        some: list[Any] = names[first : first + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        found.update(UserID(str(value)) for (value,) in txn.all(query.format(marks), user, *some))
    return found
