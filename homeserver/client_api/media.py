"""Uploading and downloading media.

Spec: https://spec.matrix.org/v1.19/client-server-api/#content-repository
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response, StreamedBody
from homeserver.ids import ServerName
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
from homeserver.media.types import clean_filename
from homeserver.media.uploads import Uploads

ANY_SIZE = 1 << 40
"""Bodies are counted against the configuration while they arrive, not against their declaration."""

_V1 = "/_matrix/client/v1/media"
_MSC3916 = "/_matrix/client/unstable/org.matrix.msc3916/media"
_UPLOAD = RateLimit("media_create")
_DOWNLOAD = RateLimit("media_download")


class UploadQuery(msgspec.Struct):
    """What may be said of a file."""

    filename: str | None = None


class MediaUploadEndpoints:
    """Taking files in."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    @endpoint(
        "POST",
        "/_matrix/media/v3/upload",
        rate_limit=_UPLOAD,
        aliases=("/_matrix/media/r0/upload", "/_matrix/media/v1/upload"),
        max_body=ANY_SIZE,
        suspended=False,
        streams=True,
    )
    async def upload_content(self, who: Requester, query: UploadQuery, request: Request) -> dict[str, Any]:
        """Keep a file.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
        """
        mxc = await self._uploads.upload(who.user_id, upload_of(request, query.filename))
        return {"content_uri": str(mxc)}

    @endpoint(
        "PUT",
        "/_matrix/media/v3/upload/{server_name}/{media_id}",
        rate_limit=_UPLOAD,
        aliases=(
            "/_matrix/media/r0/upload/{server_name}/{media_id}",
            "/_matrix/media/v1/upload/{server_name}/{media_id}",
            "/_matrix/media/unstable/fi.mau.msc2246/upload/{server_name}/{media_id}",
        ),
        max_body=ANY_SIZE,
        suspended=False,
        streams=True,
    )
    async def upload_content_to_mxc(
        self, who: Requester, server_name: ServerName, media_id: str, query: UploadQuery, request: Request
    ) -> Empty:
        """Keep the file of an ID that was reserved before.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid
        """
        mxc = Mxc(server_name, check_media_id(media_id))
        await self._uploads.upload_to(who.user_id, mxc, upload_of(request, query.filename))
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/media/v1/create",
        rate_limit=_UPLOAD,
        aliases=("/_matrix/media/unstable/fi.mau.msc2246/create",),
        suspended=False,
    )
    async def create_content(self, who: Requester) -> dict[str, Any]:
        """Reserve an ID for a file that comes later.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create
        """
        reservation = await self._uploads.reserve(who.user_id)
        return {"content_uri": str(reservation.mxc), "unused_expires_at": reservation.expires_ms}


class MediaDownloadEndpoints:
    """Giving files to those who are logged in."""

    def __init__(self, downloads: Downloads, thumbnails: Thumbnails, *, max_upload_size: int) -> None:
        self._downloads = downloads
        self._thumbnails = thumbnails
        self._max_upload_size = max_upload_size

    @endpoint(
        "GET",
        _V1 + "/download/{server_name}/{media_id}",
        rate_limit=_DOWNLOAD,
        aliases=(_MSC3916 + "/download/{server_name}/{media_id}",),
        guests=True,
    )
    async def get_content_authed(
        self, who: Requester, server_name: ServerName, media_id: str, query: DownloadQuery, request: Request
    ) -> StreamedBody | Response:
        """A file, under the name that it was uploaded with.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
        """
        mxc = Mxc(server_name, check_media_id(media_id))
        row = await self._downloads.load(mxc, Asking(payer=who.user_id, timeout_ms=query.timeout_ms))
        return await file_answer(self._downloads, row, request, filename=row.filename, cache=CACHE_PRIVATE)

    @endpoint(
        "GET",
        _V1 + "/download/{server_name}/{media_id}/{file_name}",
        rate_limit=_DOWNLOAD,
        aliases=(_MSC3916 + "/download/{server_name}/{media_id}/{file_name}",),
        guests=True,
    )
    async def get_content_override_name_authed(
        self,
        who: Requester,
        server_name: ServerName,
        media_id: str,
        file_name: str,
        query: DownloadQuery,
        request: Request,
    ) -> StreamedBody | Response:
        """A file, under a name that the client gives.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaidfilename
        """
        mxc = Mxc(server_name, check_media_id(media_id))
        row = await self._downloads.load(mxc, Asking(payer=who.user_id, timeout_ms=query.timeout_ms))
        name = clean_filename(file_name)
        return await file_answer(self._downloads, row, request, filename=name, cache=CACHE_PRIVATE)

    @endpoint(
        "GET",
        _V1 + "/thumbnail/{server_name}/{media_id}",
        rate_limit=_DOWNLOAD,
        aliases=(_MSC3916 + "/thumbnail/{server_name}/{media_id}",),
        guests=True,
    )
    async def get_content_thumbnail_authed(
        self, who: Requester, server_name: ServerName, media_id: str, query: ThumbnailQuery, request: Request
    ) -> StreamedBody | Response:
        """A smaller picture of a picture.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid
        """
        found = await self._thumbnails.load(
            Mxc(server_name, check_media_id(media_id)),
            query.size,
            Asking(payer=who.user_id, timeout_ms=query.timeout_ms),
            animated=bool(query.animated),
        )
        return await thumbnail_answer(self._thumbnails, found, request, cache=CACHE_PRIVATE)

    @endpoint(
        "GET",
        _V1 + "/config",
        rate_limit=RateLimit("media_config"),
        aliases=(_MSC3916 + "/config",),
        guests=True,
    )
    async def get_config_authed(self, who: Requester) -> dict[str, Any]:
        """How large a file may be.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediaconfig
        """
        return {"m.upload.size": self._max_upload_size}
