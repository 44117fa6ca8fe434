"""Files of messages, moments and profiles: uploaded first, for whoever is logged in (IM API, part B.11)."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Response, StreamedBody
from homeserver.ids import ServerName
from homeserver.im_api.classes import UPLOAD
from homeserver.media.answers import (
    CACHE_PRIVATE,
    DownloadQuery,
    ThumbnailQuery,
    file_answer,
    thumbnail_answer,
    upload_of,
)
from homeserver.media.downloads import Asking, Downloads
from homeserver.media.mxc import Mxc, check_media_id
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.uploads import Uploads

ANY_SIZE = 1 << 40
"""Bodies are counted against the configuration while they arrive, not against their declaration."""

_PATH = "/im/v1/media/{server_name}/{media_id}"


class UploadMediaQuery(msgspec.Struct):
    filename: str | None = None


class MediaEndpoints:
    """The same files as under `/_matrix`, in the facade's words."""

    def __init__(self, uploads: Uploads, downloads: Downloads, thumbnails: Thumbnails) -> None:
        self._uploads = uploads
        self._downloads = downloads
        self._thumbnails = thumbnails

    @endpoint(
        "POST",
        "/im/v1/media",
        rate_limit=UPLOAD,
        max_body=ANY_SIZE,
        suspended=False,
        streams=True,
    )
    async def upload_media(self, who: Requester, query: UploadMediaQuery, request: Request) -> dict[str, Any]:
        """Keep a file, which is the request's body. `mxc` names it in messages, `url` is where it is downloaded."""
        mxc = await self._uploads.upload(who.user_id, upload_of(request, query.filename))
        row = await self._downloads.load(mxc, Asking(payer=who.user_id))
        info = {"mimetype": row.content_type, "size": row.size, "name": row.filename}
        return {
            "mxc": str(mxc),
            "url": _PATH.format(server_name=mxc.server_name, media_id=mxc.media_id),
            "info": {key: value for key, value in info.items() if value is not None},
        }

    @endpoint("GET", _PATH, rate_limit=RateLimit("media_download"))
    async def download_media(
        self, who: Requester, server_name: ServerName, media_id: str, query: DownloadQuery, request: Request
    ) -> StreamedBody | Response:
        """A file, of this server or another."""
        asking = Asking(payer=who.user_id, timeout_ms=query.timeout_ms)
        row = await self._downloads.load(Mxc(server_name, check_media_id(media_id)), asking)
        return await file_answer(self._downloads, row, request, filename=row.filename, cache=CACHE_PRIVATE)

    @endpoint("GET", f"{_PATH}/thumbnail", rate_limit=RateLimit("media_download"))
    async def download_media_thumbnail(
        self, who: Requester, server_name: ServerName, media_id: str, query: ThumbnailQuery, request: Request
    ) -> StreamedBody | Response:
        """A smaller picture of a picture."""
        found = await self._thumbnails.load(
            Mxc(server_name, check_media_id(media_id)),
            query.size,
            Asking(payer=who.user_id, timeout_ms=query.timeout_ms),
            animated=bool(query.animated),
        )
        return await thumbnail_answer(self._thumbnails, found, request, cache=CACHE_PRIVATE)
