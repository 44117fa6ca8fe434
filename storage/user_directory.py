"""The directory of users: everybody whom somebody here may want to find."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from homeserver.ids import UserID
from storage.transaction import Transaction


class DirectoryUser(NamedTuple):
    """A user as the directory knows them."""

    user_id: UserID
    display_name: str | None
    avatar_url: str | None
    is_local: bool


def save(
    txn: Transaction,
    user_id: str,
    display_name: str | None,
    avatar_url: str | None,
    *,
    words: str,
    local: bool,
) -> None:
    txn.put(
        "user_directory",
        ("user_name", "display_name", "avatar_url", "words", "local"),
        (txn.intern(user_id), display_name, avatar_url, words, int(local)),
        ("user_name",),
    )


def is_known(txn: Transaction, user_id: str) -> bool:
    user = txn.find_interned(user_id)
    return user is not None and (
        txn.one("SELECT 1 FROM user_directory WHERE user_name = ?", user) is not None
    )


def set_open(txn: Transaction, room_id: str, *, is_open: bool) -> None:
    """Whether everybody may find the members of a room."""
    room = txn.intern(room_id)
    if is_open:
        txn.put("open_rooms", ("room",), (room,), ("room",))
    else:
        txn.execute("DELETE FROM open_rooms WHERE room = ?", room)


def newest_content(txn: Transaction, room_id: str, event_type: str) -> dict[str, Any]:
    """The content of the newest state event of a type (with an empty state key); empty if there is none."""
    json = txn.value(
        "SELECT json FROM events WHERE room = ? AND type = ? AND state_key = ? AND flags & 7 = 0"
        " ORDER BY position DESC LIMIT 1",
        txn.find_interned(room_id),
        txn.find_interned(event_type),
        txn.find_interned(""),
    )
    content: dict[str, Any] = {} if json is None else msgspec.json.decode(json).get("content", {})
    return content


def search(
    txn: Transaction,
    searcher: str,
    term: str,
    limit: int,
    *,
    everybody: bool,
    with_remote: bool,
    with_locked: bool,
) -> list[DirectoryUser]:
    """Users who have all words of `term` (folded) and whom the searcher may find.

    With `everybody` that is every local user beside those who share a room or are in an open one.
    """
    user = txn.find_interned(searcher)
    words = [f"%{_escaped(word)}%" for word in term.split()]
    matches = " AND ".join(["d.words LIKE ? ESCAPE '!'"] * len(words)) or "1 = 1"
    visible = (
        "EXISTS (SELECT 1 FROM membership a JOIN membership b ON b.room = a.room WHERE a.user_name = ?"
        " AND a.membership = 'join' AND b.user_name = d.user_name AND b.membership = 'join')"
        " OR EXISTS (SELECT 1 FROM membership c JOIN open_rooms o ON o.room = c.room"
        " WHERE c.user_name = d.user_name AND c.membership = 'join')"
    )
    if everybody:
        visible += " OR d.local = 1"
    locked = "" if with_locked else " OR u.locked = 1"
    rows = txn.all(
        "SELECT n.value, d.display_name, d.avatar_url, d.local FROM user_directory d"
        " JOIN names n ON n.nid = d.user_name"
        f" WHERE {matches} AND d.user_name <> ? AND ({visible})"
        f"{'' if with_remote else ' AND d.local = 1'}"
        " AND NOT EXISTS (SELECT 1 FROM users u WHERE u.user_name = d.user_name"
        f" AND (u.deactivated = 1{locked})) LIMIT ?",
        *words,
        user,
        user,
        limit,
    )
    return [
        DirectoryUser(UserID(str(user_id)), name, avatar, bool(local))
        for user_id, name, avatar, local in rows
    ]


def _escaped(word: str) -> str:
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
