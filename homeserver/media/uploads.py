"""Files that users upload: at once, or to an ID that they have reserved before.

Spec: https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import NamedTuple

from config.media import MediaConfig
from homeserver.errors import Forbidden, MatrixError, NotFound, TooLarge
from homeserver.ids import ServerName, UserID
from homeserver.media.arrivals import Arrivals
from homeserver.media.files import MediaFiles, Spooled
from homeserver.media.mxc import Mxc
from homeserver.media.quotas import Quotas
from homeserver.media.stores import blob_name
from homeserver.media.types import clean_filename, content_type_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import media
from storage.database import Database
from storage.media import MediaFlag, MediaRow
from storage.transaction import Transaction

_ID_BYTES = 18


class CannotOverwrite(MatrixError):
    """A media ID has its file already, for ever."""

    status = 409
    errcode = "M_CANNOT_OVERWRITE_MEDIA"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a client sends: pieces, and what it says of them."""

    chunks: AsyncIterable[bytes]
    content_type: str | None = None
    filename: str | None = None
    length: int | None = None


class Reservation(NamedTuple):
    """An ID whose file is still to come."""

    mxc: Mxc
    expires_ms: int


class Uploads:
    """Takes files in."""

    def __init__(
        self,
        db: Database,
        files: MediaFiles,
        arrivals: Arrivals,
        clock: Clock,
        randomness: Randomness,
        config: MediaConfig,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._files = files
        self._arrivals = arrivals
        self._clock = clock
        self._randomness = randomness
        self._quotas = Quotas(config)
        self._expiry_ms = config.unused_expiration_time_ms
        self._server_name = server_name
        self._flags = int(MediaFlag.AUTHENTICATED) if config.enable_authenticated_media else 0

    async def upload(self, user_id: UserID, upload: Upload) -> Mxc:
        """Keep a file under a new ID.

        Raises:
            TooLarge: it is larger than files may be.
            Forbidden: the user has as much as they may have.
        """
        await self._check_before(user_id, upload)
        mxc = self._new_mxc()
        await self._take(user_id, mxc, upload)
        return mxc

    async def reserve(self, user_id: UserID) -> Reservation:
        """An ID for a file that will be uploaded later.

        Raises:
            LimitExceeded: the user has reserved too many.
        """
        now_ms = self._clock.now_ms()
        reservation = Reservation(self._new_mxc(), now_ms + self._expiry_ms)
        await self._db.run(self._reserve, user_id, reservation, now_ms)
        return reservation

    async def upload_to(self, user_id: UserID, mxc: Mxc, upload: Upload) -> None:
        """Keep the file for an ID that the user has reserved.

        Raises:
            NotFound: nobody has reserved it, or too long ago.
            Forbidden: somebody else has, or the user has as much as they may have.
            CannotOverwrite: its file is here already.
            TooLarge: it is larger than files may be.
        """
        row = None
        if mxc.server_name == self._server_name:
            row = await self._db.read(media.find, mxc.server_name, mxc.media_id)
        _check_reserved(row, user_id, self._clock.now_ms())
        await self._check_before(user_id, upload)
        await self._take(user_id, mxc, upload, reserved=True)

    async def keep_own(self, spooled: Spooled, content_type: str) -> Mxc:
        """Keep a file that the server itself has got, such as the picture in a preview."""
        mxc = self._new_mxc()
        row = self._row(mxc, spooled, content_type, None, None)
        async with self._files.locked(spooled.digest):
            await self._files.keep(blob_name(spooled.digest), spooled.path)
            await self._db.run(media.insert, row)
        return mxc

    async def _check_before(self, user_id: UserID, upload: Upload) -> None:
        length = upload.length or 0
        if length > self._quotas.max_bytes:
            raise TooLarge(f"files may have {self._quotas.max_bytes} bytes")
        await self._db.read(self._quotas.check, user_id, length, self._clock.now_ms())

    async def _take(self, user_id: UserID, mxc: Mxc, upload: Upload, *, reserved: bool = False) -> None:
        spooled = await self._files.spool(upload.chunks, self._quotas.max_bytes)
        row = self._row(
            mxc, spooled, content_type_of(upload.content_type), clean_filename(upload.filename), user_id
        )
        async with self._files.locked(spooled.digest):
            try:
                await self._files.keep(blob_name(spooled.digest), spooled.path)
                await self._db.run(self._insert, row, user_id, reserved=reserved)
            except MatrixError:
                await self._drop(spooled.digest)
                raise
        self._arrivals.arrived(mxc)

    async def _drop(self, digest: str) -> None:
        """The file was refused after all: nobody may need it."""
        if not await self._db.read(media.is_used, digest):
            await self._files.delete(digest, [])

    def _reserve(self, txn: Transaction, user_id: UserID, reservation: Reservation, now_ms: int) -> None:
        media.delete_expired(txn, user_id, now_ms)
        self._quotas.check_pending(txn, user_id, now_ms)
        mxc, expires_ms = reservation
        row = MediaRow(
            mxc.server_name, mxc.media_id, None, "", None, 0, user_id, now_ms, expires_ms, now_ms, self._flags
        )
        media.insert(txn, row)

    def _insert(self, txn: Transaction, row: MediaRow, user_id: UserID, *, reserved: bool) -> None:
        if reserved:
            # Again: two uploads to one ID may have begun, and time has passed.
            _check_reserved(media.find(txn, row.origin, row.media_id), user_id, row.created_ms)
        self._quotas.check(txn, user_id, row.size, row.created_ms)
        media.insert(txn, row)

    def _row(
        self, mxc: Mxc, spooled: Spooled, content_type: str, filename: str | None, uploader: UserID | None
    ) -> MediaRow:
        now_ms = self._clock.now_ms()
        return MediaRow(
            mxc.server_name,
            mxc.media_id,
            spooled.digest,
            content_type,
            filename,
            spooled.size,
            uploader,
            now_ms,
            None,
            now_ms,
            self._flags,
        )

    def _new_mxc(self) -> Mxc:
        return Mxc(self._server_name, self._randomness.token(_ID_BYTES))


def _check_reserved(row: MediaRow | None, user_id: UserID, now_ms: int) -> None:
    if row is None:
        raise NotFound("unknown media ID")
    if row.uploader != user_id:
        raise Forbidden("somebody else has reserved this media ID")
    if row.digest is not None:
        raise CannotOverwrite("the media ID has its file already")
    if row.expires_ms is not None and row.expires_ms <= now_ms:
        raise NotFound("the media ID has expired")
