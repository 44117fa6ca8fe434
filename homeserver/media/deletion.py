"""Deleting files: the ID goes, and the bytes with the last ID that stands for them."""

from __future__ import annotations

from homeserver.ids import ServerName
from homeserver.media.files import MediaFiles
from homeserver.media.mxc import Mxc
from homeserver.media.stores import thumbnail_name
from storage import media, media_references
from storage.database import Database
from storage.media import MediaFlag, MediaRow
from storage.transaction import Transaction

_AT_ONCE = 50


class Deletion:
    """Deletes files."""

    def __init__(self, db: Database, files: MediaFiles) -> None:
        self._db = db
        self._files = files

    async def delete(self, mxc: Mxc) -> bool:
        """Delete a file; False if there was none."""
        row = await self._db.read(media.find, *mxc)
        if row is None:
            return False
        await self.delete_row(row)
        return True

    async def delete_row(self, row: MediaRow) -> None:
        """Delete a file that has been found."""
        if row.digest is None:
            await self._db.run(media.delete, row.origin, row.media_id)
            return
        # Whoever uploads the same bytes at this moment waits, and finds them gone or kept.
        async with self._files.locked(row.digest):
            variants = await self._db.run(_delete, row, row.digest)
            if variants is not None:
                names = [thumbnail_name(row.digest, variant) for variant in variants]
                await self._files.delete(row.digest, names)

    async def delete_orphans(self) -> int:
        """Delete the files that no event uses any more, and nobody else; how many there were."""
        deleted = 0
        while orphans := await self._db.read(media_references.list_orphans, _AT_ONCE):
            for origin, media_id in orphans:
                row = await self._db.run(_take_orphan, origin, media_id)
                if row is not None:
                    await self.delete_row(row)
                    deleted += 1
        return deleted

    async def delete_unused(self, before_ms: int, server_name: ServerName, *, local: bool) -> int:
        """Delete the files, of this server or copies of others', that nobody has looked at since then."""
        deleted = 0
        while rows := await self._db.read(
            media.unused_since, before_ms, server_name, local=local, limit=_AT_ONCE
        ):
            for row in rows:
                await self.delete_row(row)
            deleted += len(rows)
        return deleted


def _delete(txn: Transaction, row: MediaRow, digest: str) -> list[str] | None:
    """Forget the ID; the thumbnails that there were if nothing else stands for the bytes, else None."""
    media.delete(txn, row.origin, row.media_id)
    return None if media.is_used(txn, digest) else media.delete_thumbnails(txn, digest)


def _take_orphan(txn: Transaction, origin: ServerName, media_id: str) -> MediaRow | None:
    """The file of an orphan, if it may go. It is no orphan from here on."""
    media_references.adopt(txn, origin, media_id)
    row = media.find(txn, origin, media_id)
    if row is None or row.flags & (MediaFlag.PROTECTED | MediaFlag.QUARANTINED):
        return None
    uri = str(Mxc(origin, media_id))
    if row.uploader is not None and media_references.is_kept_by(txn, row.uploader, uri):
        return None
    return row
