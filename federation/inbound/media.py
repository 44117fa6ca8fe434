"""Our media for other servers.

Spec: https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from federation.wire.multipart import build_head, build_tail
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import StreamedBody
from homeserver.ids import ServerName
from homeserver.media.answers import DownloadQuery, ThumbnailQuery
from homeserver.media.downloads import Asking, Downloads
from homeserver.media.files import FileChunks
from homeserver.media.mxc import Mxc, check_media_id
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.types import SECURITY_HEADERS, disposition
from homeserver.runtime.random import Randomness

_DOWNLOAD = RateLimit("media_download")
_BOUNDARY_BYTES = 24


class FederationMediaEndpoints:
    """Giving files of this server to other servers; copies of others' are not ours to give."""

    def __init__(
        self, downloads: Downloads, thumbnails: Thumbnails, randomness: Randomness, *, server_name: ServerName
    ) -> None:
        self._downloads = downloads
        self._thumbnails = thumbnails
        self._randomness = randomness
        self._server_name = server_name

    @endpoint(
        "GET", "/_matrix/federation/v1/media/download/{media_id}", auth=Auth.FEDERATION, rate_limit=_DOWNLOAD
    )
    async def get_content(self, origin: ServerName, media_id: str, query: DownloadQuery) -> StreamedBody:
        """A file.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid
        """
        asking = Asking(payer=origin, may_fetch=False, timeout_ms=query.timeout_ms)
        row = await self._downloads.load(Mxc(self._server_name, check_media_id(media_id)), asking)
        chunks = await self._downloads.open(row, length=row.size)
        headers = {
            "Content-Type": row.content_type,
            "Content-Disposition": disposition(row.content_type, row.filename),
        }
        return self._multipart(headers, chunks, row.size)

    @endpoint(
        "GET", "/_matrix/federation/v1/media/thumbnail/{media_id}", auth=Auth.FEDERATION, rate_limit=_DOWNLOAD
    )
    async def get_content_thumbnail(
        self, origin: ServerName, media_id: str, query: ThumbnailQuery
    ) -> StreamedBody:
        """A smaller picture of a picture.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediathumbnailmediaid
        """
        found = await self._thumbnails.load(
            Mxc(self._server_name, check_media_id(media_id)),
            query.size,
            Asking(payer=origin, may_fetch=False, timeout_ms=query.timeout_ms),
            animated=bool(query.animated),
        )
        chunks = await self._thumbnails.open(found)
        content_type = found.row.content_type
        headers = {
            "Content-Type": content_type,
            "Content-Disposition": disposition(content_type, found.filename),
        }
        return self._multipart(headers, chunks, found.row.size)

    def _multipart(self, headers: dict[str, str], chunks: FileChunks, size: int) -> StreamedBody:
        # Nobody can put a boundary into a file that is made up after the file.
        boundary = self._randomness.token(_BOUNDARY_BYTES)
        head, tail = build_head(boundary.encode(), headers), build_tail(boundary.encode())
        return StreamedBody(
            _between(head, chunks, tail),
            f"multipart/mixed; boundary={boundary}",
            len(head) + size + len(tail),
            headers=SECURITY_HEADERS,
        )


async def _between(head: bytes, chunks: FileChunks, tail: bytes) -> AsyncIterator[bytes]:
    try:
        yield head
        async for chunk in chunks:
            yield chunk
        yield tail
    finally:
        await chunks.aclose()
