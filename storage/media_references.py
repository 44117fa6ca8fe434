"""Which events use which media, and which media no event uses any more."""

from __future__ import annotations

from collections.abc import Iterable

from homeserver.ids import ServerName, UserID
from storage.transaction import Transaction

_KEY = ("origin", "media_id")


def insert(txn: Transaction, event_id: str, uses: Iterable[tuple[str, str]]) -> None:
    """An event uses media, given as server and ID; whoever was an orphan is none now."""
    columns = (*_KEY, "event_id")
    for origin, media_id in uses:
        server = txn.intern(origin)
        txn.put("media_references", columns, (server, media_id, event_id), columns)
        txn.execute("DELETE FROM media_orphans WHERE origin = ? AND media_id = ?", server, media_id)


def forget_event(txn: Transaction, event_id: str) -> None:
    """An event has been redacted or purged: what only it has used is an orphan from now on."""
    for origin, media_id in txn.all(
        "SELECT origin, media_id FROM media_references WHERE event_id = ?", event_id
    ):
        txn.execute(
            "DELETE FROM media_references WHERE origin = ? AND media_id = ? AND event_id = ?",
            origin,
            media_id,
            event_id,
        )
        other = "SELECT 1 FROM media_references WHERE origin = ? AND media_id = ? LIMIT 1"
        if txn.one(other, origin, media_id) is None:
            txn.put("media_orphans", _KEY, (origin, media_id), _KEY)


def list_events(txn: Transaction, origin: str, media_id: str, limit: int) -> list[str]:
    """Some of the events that use a file."""
    sql = "SELECT event_id FROM media_references WHERE origin = ? AND media_id = ? LIMIT ?"
    return [event_id for (event_id,) in txn.all(sql, txn.find_interned(origin), media_id, limit)]


def list_orphans(txn: Transaction, limit: int) -> list[tuple[ServerName, str]]:
    sql = "SELECT n.value, o.media_id FROM media_orphans o JOIN names n ON n.nid = o.origin LIMIT ?"
    return [(ServerName(origin), media_id) for origin, media_id in txn.all(sql, limit)]


def adopt(txn: Transaction, origin: str, media_id: str) -> None:
    """It is no orphan after all."""
    server = txn.find_interned(origin)
    txn.execute("DELETE FROM media_orphans WHERE origin = ? AND media_id = ?", server, media_id)


def is_kept_by(txn: Transaction, user_id: UserID, uri: str) -> bool:
    """Whether a user has media in their profile or account data, such as an avatar or a set of stickers."""
    user = txn.find_interned(user_id)
    sought = uri.encode()
    for sql in (
        "SELECT value FROM profiles WHERE user_name = ?",
        "SELECT content FROM account_data WHERE user_name = ?",
    ):
        if any(sought in bytes(value) for (value,) in txn.all(sql, user)):
            return True
    return False
