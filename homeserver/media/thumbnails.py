"""Thumbnails: made when somebody first asks for them, beside the reactor, and kept.

Only the sizes of the configuration are made, so that nobody can fill the disk by asking for many. Few are made at a
time: pictures take memory while they are decoded, and messages want the processor too.
"""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

from twisted.internet.defer import DeferredSemaphore

from config.media import MediaConfig, ThumbnailSize
from federation.outbound.once import Once
from homeserver.errors import NotFound, TooLarge
from homeserver.media.downloads import Asking, Downloads
from homeserver.media.files import FileChunks, MediaFiles
from homeserver.media.mxc import Mxc
from homeserver.media.remote import RemoteTooLarge
from homeserver.media.shapes import CannotThumbnail, Shape, Thumbnail, choose_size
from homeserver.media.stores import blob_name, thumbnail_name
from homeserver.media.types import media_type
from storage import media
from storage.database import Database
from storage.media import MediaRow, ThumbnailRow

AT_ONCE = max((os.cpu_count() or 1) // 2, 1)
"""Half the processors stay free for everything else."""


class FoundThumbnail(NamedTuple):
    """A thumbnail, and of what it is one."""

    original: MediaRow
    row: ThumbnailRow

    @property
    def etag(self) -> str:
        return f'"{self.original.digest}-{self.row.variant}"'

    @property
    def filename(self) -> str:
        """What it is called when somebody saves it."""
        return f"thumbnail.{self.row.content_type.rpartition('/')[2]}"


class Thumbnails:
    """Finds thumbnails, or makes them."""

    def __init__(self, db: Database, files: MediaFiles, downloads: Downloads, config: MediaConfig) -> None:
        self._db = db
        self._files = files
        self._downloads = downloads
        self._sizes = config.thumbnail_sizes
        self._max_pixels = config.max_image_pixels
        self._turns = DeferredSemaphore(AT_ONCE)
        self._running: Once[tuple[str, str], ThumbnailRow] = Once()

    async def load(
        self, mxc: Mxc, wanted: ThumbnailSize, asking: Asking, *, animated: bool
    ) -> FoundThumbnail:
        """A thumbnail of about the wanted size.

        Raises:
            CannotThumbnail: it is no picture.
            TooLarge: it is a picture too large to be decoded.
            MatrixError: see `Downloads.load`.
        """
        original = await self._downloads.load(mxc, asking)
        size = choose_size(self._sizes, wanted)
        if not media_type(original.content_type).startswith("image/"):
            raise CannotThumbnail(f"there are no thumbnails of {original.content_type}")
        shape = Shape(size.width, size.height, size.method, is_animated=animated)
        digest = original.digest or ""
        row = await self._db.read(media.find_thumbnail, digest, shape.variant)
        if row is None:
            try:
                row = await self._running.run((digest, shape.variant), lambda: self._make(digest, shape))
            except FileNotFoundError:
                raise NotFound("the file is gone") from None
            except TooLarge as error:
                if self._downloads.is_own(mxc):
                    raise
                raise RemoteTooLarge(error.error) from error
        return FoundThumbnail(original, row)

    async def open(self, found: FoundThumbnail) -> FileChunks:
        """Its bytes.

        Raises:
            NotFound: they are gone.
        """
        digest = found.original.digest or ""
        name = thumbnail_name(digest, found.row.variant)
        try:
            return await self._files.open(name, length=found.row.size)
        except FileNotFoundError:
            # As it may be after a restore: it is made again when it is asked for again.
            await self._db.run(media.delete_thumbnails, digest)
            raise NotFound("the thumbnail is gone") from None

    async def _make(self, digest: str, shape: Shape) -> ThumbnailRow:
        def make(file: BinaryIO) -> Thumbnail:
            return _make_thumbnail(file, shape, self._max_pixels)

        target = thumbnail_name(digest, shape.variant)
        await self._turns.acquire()
        try:
            async with self._files.locked(digest):
                made = await self._files.derive(blob_name(digest), target, make)
                row = ThumbnailRow(shape.variant, made.content_type, len(made.data))
                await self._db.run(media.insert_thumbnail, digest, row)
        finally:
            self._turns.release()
        return row


def _make_thumbnail(file: BinaryIO, shape: Shape, max_pixels: int) -> Thumbnail:
    # Here, and not above: Pillow is megabytes that a server without pictures does without.
    from homeserver.media.images import make_thumbnail

    return make_thumbnail(file, shape, max_pixels)
