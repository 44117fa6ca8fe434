"""Copies of other servers' media: fetched when somebody wants them, and kept.

Spec: https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from __future__ import annotations

from typing import Protocol

from config.media import MediaConfig
from federation.outbound.media import MediaHead, OpenMedia
from federation.outbound.once import Once
from homeserver.errors import MatrixError, NotFound, RemoteError, TooLarge
from homeserver.ids import ServerName
from homeserver.media.arrivals import NotYetUploaded
from homeserver.media.budget import ByteBudget
from homeserver.media.files import MediaFiles, Spool, Spooled
from homeserver.media.mxc import Mxc
from homeserver.media.stores import blob_name
from homeserver.media.types import UNKNOWN, content_type_of, filename_of
from homeserver.runtime.clock import Clock
from storage import media
from storage.database import Database
from storage.media import MediaFlag, MediaRow


class RemoteTooLarge(MatrixError):
    """Another server's file is larger than what we take."""

    status = 502
    errcode = "M_TOO_LARGE"


class MediaSource(Protocol):
    """Downloads media of other servers: `federation.outbound.media.RemoteMedia`."""

    async def download(
        self, server: ServerName, media_id: str, *, timeout_ms: int, max_bytes: int, open_media: OpenMedia
    ) -> None: ...


class RemoteCopies:
    """Fetches files, each once however many ask for it."""

    def __init__(
        self,
        db: Database,
        files: MediaFiles,
        source: MediaSource,
        clock: Clock,
        budget: ByteBudget,
        config: MediaConfig,
    ) -> None:
        self._db = db
        self._files = files
        self._source = source
        self._clock = clock
        self._budget = budget
        self._max_bytes = config.max_upload_size
        self._denied = frozenset(name.lower() for name in config.prevent_media_downloads_from)
        self._flags = int(MediaFlag.AUTHENTICATED) if config.enable_authenticated_media else 0
        self._running: Once[Mxc, MediaRow] = Once()

    async def fetch(self, mxc: Mxc, timeout_ms: int, *, payer: str) -> MediaRow:
        """A copy of the file, now kept here. `payer` is on whose account its bytes go.

        Raises:
            NotFound: the server does not have it, or we ask nothing of it.
            NotYetUploaded: it has not been uploaded there.
            RemoteTooLarge: it is larger than what we take.
            LimitExceeded: the payer has made us fetch too much.
            RemoteError: the server does not answer as it should.
        """
        self._check_permitted(mxc)
        self._budget.check(payer)
        row = await self._running.run(mxc, lambda: self._fetch(mxc, timeout_ms))
        self._budget.spend(payer, row.size)
        return row

    def _check_permitted(self, mxc: Mxc) -> None:
        if mxc.server_name.lower() in self._denied:
            raise NotFound(f"media of {mxc.server_name} is not served here")

    async def _fetch(self, mxc: Mxc, timeout_ms: int) -> MediaRow:
        receiver = _Receiver(self._files, self._max_bytes)
        try:
            await self._source.download(
                mxc.server_name,
                mxc.media_id,
                timeout_ms=timeout_ms,
                max_bytes=self._max_bytes,
                open_media=receiver.open,
            )
            spooled, head = receiver.finish()
        except BaseException as error:
            receiver.abandon()
            if isinstance(error, RemoteError):
                raise _as_told(error, mxc) from error
            if isinstance(error, TooLarge):
                raise RemoteTooLarge(error.error) from error
            raise
        now_ms = self._clock.now_ms()
        row = MediaRow(
            mxc.server_name,
            mxc.media_id,
            spooled.digest,
            content_type_of(head.content_type) if head.content_type else UNKNOWN,
            filename_of(head.content_disposition),
            spooled.size,
            None,
            now_ms,
            None,
            now_ms,
            self._flags,
        )
        async with self._files.locked(spooled.digest):
            await self._files.keep(blob_name(spooled.digest), spooled.path)
            await self._db.run(media.insert, row)
        return row


class _Receiver:
    """Takes what comes, in whatever pieces."""

    def __init__(self, files: MediaFiles, max_bytes: int) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._spool: Spool | None = None
        self._head = MediaHead(None, None)

    def open(self, head: MediaHead) -> _Write:
        self.abandon()
        self._head = head
        self._spool = self._files.new_spool(self._max_bytes)
        return self._spool.write

    def finish(self) -> tuple[Spooled, MediaHead]:
        if self._spool is None:
            raise RemoteError("media came in an answer without a body")
        return self._spool.finish(), self._head

    def abandon(self) -> None:
        if self._spool is not None:
            self._spool.abandon()


class _Write(Protocol):
    def __call__(self, data: bytes, /) -> None: ...


def _as_told(error: RemoteError, mxc: Mxc) -> Exception:
    """What our client is told of another server's refusal."""
    if error.errcode == "M_NOT_YET_UPLOADED":
        return NotYetUploaded("the file has not been uploaded yet")
    if error.errcode == "M_TOO_LARGE":
        return RemoteTooLarge(f"the file of {mxc.server_name} is too large")
    if error.status in (404, 403, 401):
        return NotFound(f"{mxc.server_name} does not have {mxc.media_id}")
    return error
