"""Media as rows: what each ID stands for, and how much of it there is."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from homeserver.ids import ServerName, UserID
from storage.transaction import Transaction


class MediaFlag(IntFlag):
    """What else is known about a file."""

    AUTHENTICATED = 1
    """Uploaded or fetched after the freeze: the endpoints without authentication do not have it."""
    QUARANTINED = 2
    """An administrator lets nobody see it."""
    PROTECTED = 4
    """Kept from quarantine and from retention."""


class MediaRow(NamedTuple):
    """A file under its ID; a reserved ID has no digest yet."""

    origin: ServerName
    media_id: str
    digest: str | None
    content_type: str
    filename: str | None
    size: int
    uploader: UserID | None
    created_ms: int
    expires_ms: int | None
    used_ms: int
    flags: int


_SELECT = (
    "SELECT o.value, m.media_id, m.digest, m.content_type, m.filename, m.size, u.value, m.created_ms,"
    " m.expires_ms, m.used_ms, m.flags FROM media m JOIN names o ON o.nid = m.origin"
    " LEFT JOIN names u ON u.nid = m.uploader"
)
_COLUMNS = (
    "origin", "media_id", "digest", "content_type", "filename", "size", "uploader", "created_ms",
    "expires_ms", "used_ms", "flags",
)  # fmt: skip


def find(txn: Transaction, origin: str, media_id: str) -> MediaRow | None:
    server = txn.find_interned(origin)
    if server is None:
        return None
    row = txn.one(f"{_SELECT} WHERE m.origin = ? AND m.media_id = ?", server, media_id)
    return None if row is None else MediaRow(*row)


def insert(txn: Transaction, row: MediaRow) -> None:
    """Add a file, or replace what stands under its ID."""
    uploader = None if row.uploader is None else txn.intern(row.uploader)
    values = row._replace(origin=txn.intern(row.origin), uploader=uploader)  # type: ignore[arg-type]  # interned
    txn.put("media", _COLUMNS, tuple(values), ("origin", "media_id"))


def delete(txn: Transaction, origin: str, media_id: str) -> None:
    """Forget the ID and what refers to it; the file may still stand under others, see `is_used`."""
    server = txn.find_interned(origin)
    if server is None:
        return
    for table in ("media", "media_references", "media_orphans"):
        txn.execute(f"DELETE FROM {table} WHERE origin = ? AND media_id = ?", server, media_id)


def touch(txn: Transaction, origin: str, media_id: str, now_ms: int) -> None:
    """Somebody has looked at it."""
    server = txn.find_interned(origin)
    txn.execute("UPDATE media SET used_ms = ? WHERE origin = ? AND media_id = ?", now_ms, server, media_id)


def set_flags(txn: Transaction, origin: str, media_id: str, flags: int) -> None:
    server = txn.find_interned(origin)
    txn.execute("UPDATE media SET flags = ? WHERE origin = ? AND media_id = ?", flags, server, media_id)


def is_used(txn: Transaction, digest: str) -> bool:
    """Whether a file stands under any ID."""
    return txn.one("SELECT 1 FROM media WHERE digest = ? LIMIT 1", digest) is not None


def uploaded_bytes(txn: Transaction, user_id: UserID, since_ms: int = 0) -> int:
    """The size of what a user has uploaded since then and is still here."""
    user = txn.find_interned(user_id)
    sql = "SELECT COALESCE(SUM(size), 0) FROM media WHERE uploader = ? AND created_ms >= ?"
    return 0 if user is None else int(txn.value(sql, user, since_ms))


def list_of_user(txn: Transaction, user_id: UserID, *, limit: int, offset: int = 0) -> list[MediaRow]:
    """What a user has uploaded, the newest first."""
    user = txn.find_interned(user_id)
    if user is None:
        return []
    order = "ORDER BY m.created_ms DESC, m.media_id LIMIT ? OFFSET ?"
    return [MediaRow(*row) for row in txn.all(f"{_SELECT} WHERE m.uploader = ? {order}", user, limit, offset)]


def count_pending(txn: Transaction, user_id: UserID, now_ms: int) -> tuple[int, int | None]:
    """How many reserved IDs of a user wait for their files, and when the first of them expires."""
    user = txn.find_interned(user_id)
    row = txn.one(
        "SELECT COUNT(*), MIN(expires_ms) FROM media WHERE uploader = ? AND digest IS NULL AND expires_ms > ?",
        user,
        now_ms,
    )
    assert row is not None
    return int(row[0]), None if row[1] is None else int(row[1])


def delete_expired(txn: Transaction, user_id: UserID, now_ms: int) -> None:
    """Forget the reserved IDs of a user that no file came for."""
    txn.execute(
        "DELETE FROM media WHERE uploader = ? AND digest IS NULL AND expires_ms <= ?",
        txn.find_interned(user_id),
        now_ms,
    )


def unused_since(
    txn: Transaction, before_ms: int, server_name: ServerName, *, local: bool, limit: int
) -> list[MediaRow]:
    """Files of this server, or copies of others', that nobody has looked at since then."""
    own = txn.find_interned(server_name)
    compare = "=" if local else "<>"
    rows = txn.all(
        f"{_SELECT} WHERE m.used_ms < ? AND m.origin {compare} ? AND m.digest IS NOT NULL"
        " AND m.flags & ? = 0 ORDER BY m.used_ms LIMIT ?",
        before_ms,
        own if own is not None else -1,
        int(MediaFlag.PROTECTED | MediaFlag.QUARANTINED),
        limit,
    )
    return [MediaRow(*row) for row in rows]


# Thumbnails.


class ThumbnailRow(NamedTuple):
    """A thumbnail that has been made."""

    variant: str
    content_type: str
    size: int


def find_thumbnail(txn: Transaction, digest: str, variant: str) -> ThumbnailRow | None:
    sql = "SELECT variant, content_type, size FROM media_thumbnails WHERE digest = ? AND variant = ?"
    row = txn.one(sql, digest, variant)
    return None if row is None else ThumbnailRow(*row)


def insert_thumbnail(txn: Transaction, digest: str, row: ThumbnailRow) -> None:
    columns = ("digest", "variant", "content_type", "size")
    txn.put("media_thumbnails", columns, (digest, *row), ("digest", "variant"))


def delete_thumbnails(txn: Transaction, digest: str) -> list[str]:
    """Forget all thumbnails of a file; the variants that there were."""
    rows = txn.all("SELECT variant FROM media_thumbnails WHERE digest = ?", digest)
    txn.execute("DELETE FROM media_thumbnails WHERE digest = ?", digest)
    return [variant for (variant,) in rows]


# Previews of links.


def find_preview(txn: Transaction, key: str, now_ms: int) -> bytes | None:
    found = txn.value("SELECT preview FROM url_previews WHERE key = ? AND expires_ms > ?", key, now_ms)
    return None if found is None else bytes(found)


def insert_preview(txn: Transaction, key: str, preview: bytes, expires_ms: int, now_ms: int) -> None:
    """Keep a preview, and forget those that have expired."""
    txn.execute("DELETE FROM url_previews WHERE expires_ms <= ?", now_ms)
    txn.put("url_previews", ("key", "preview", "expires_ms"), (key, preview, expires_ms), ("key",))
