"""Downloading without authentication: what was here before the freeze, for old clients and servers.

What has been uploaded or copied since is not found here, unless `enable_authenticated_media` is off.
Spec: https://spec.matrix.org/v1.19/client-server-api/#content-repo-client-behaviour
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Response, StreamedBody
from homeserver.ids import ServerName
from homeserver.media.answers import CACHE_PUBLIC, ThumbnailQuery, file_answer, thumbnail_answer
from homeserver.media.downloads import DEFAULT_WAIT_MS, Asking, Downloads
from homeserver.media.mxc import Mxc, check_media_id
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.types import clean_filename

_DOWNLOAD = RateLimit("media_download", by_address=True)


class LegacyQuery(msgspec.Struct):
    """How a file is asked for. We never redirect, so that `allow_redirect` says nothing to us."""

    allow_remote: bool = True
    timeout_ms: int = DEFAULT_WAIT_MS


class LegacyThumbnailQuery(ThumbnailQuery):
    """Which thumbnail is asked for."""

    allow_remote: bool = True


def _paths(path: str) -> tuple[str, ...]:
    return (f"/_matrix/media/r0{path}", f"/_matrix/media/v1{path}")


class LegacyMediaEndpoints:
    """Giving files to anybody."""

    def __init__(self, downloads: Downloads, thumbnails: Thumbnails, *, max_upload_size: int) -> None:
        self._downloads = downloads
        self._thumbnails = thumbnails
        self._max_upload_size = max_upload_size

    @endpoint(
        "GET",
        "/_matrix/media/v3/download/{server_name}/{media_id}",
        auth=Auth.NONE,
        rate_limit=_DOWNLOAD,
        aliases=_paths("/download/{server_name}/{media_id}"),
    )
    async def get_content(
        self, server_name: ServerName, media_id: str, query: LegacyQuery, request: Request
    ) -> StreamedBody | Response:
        """A file, under the name that it was uploaded with.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaid
        """
        mxc = Mxc(server_name, check_media_id(media_id))
        row = await self._downloads.load(mxc, _asking(query, request))
        return await file_answer(self._downloads, row, request, filename=row.filename, cache=CACHE_PUBLIC)

    @endpoint(
        "GET",
        "/_matrix/media/v3/download/{server_name}/{media_id}/{file_name}",
        auth=Auth.NONE,
        rate_limit=_DOWNLOAD,
        aliases=_paths("/download/{server_name}/{media_id}/{file_name}"),
    )
    async def get_content_override_name(
        self, server_name: ServerName, media_id: str, file_name: str, query: LegacyQuery, request: Request
    ) -> StreamedBody | Response:
        """A file, under a name that the client gives.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaidfilename
        """
        mxc = Mxc(server_name, check_media_id(media_id))
        row = await self._downloads.load(mxc, _asking(query, request))
        name = clean_filename(file_name)
        return await file_answer(self._downloads, row, request, filename=name, cache=CACHE_PUBLIC)

    @endpoint(
        "GET",
        "/_matrix/media/v3/thumbnail/{server_name}/{media_id}",
        auth=Auth.NONE,
        rate_limit=_DOWNLOAD,
        aliases=_paths("/thumbnail/{server_name}/{media_id}"),
    )
    async def get_content_thumbnail(
        self, server_name: ServerName, media_id: str, query: LegacyThumbnailQuery, request: Request
    ) -> StreamedBody | Response:
        """A smaller picture of a picture.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3thumbnailservernamemediaid
        """
        found = await self._thumbnails.load(
            Mxc(server_name, check_media_id(media_id)),
            query.size,
            _asking(query, request),
            animated=bool(query.animated),
        )
        return await thumbnail_answer(self._thumbnails, found, request, cache=CACHE_PUBLIC)

    @endpoint(
        "GET",
        "/_matrix/media/v3/config",
        rate_limit=RateLimit("media_config"),
        aliases=_paths("/config"),
        guests=True,
    )
    async def get_config(self, who: Requester) -> dict[str, Any]:
        """How large a file may be.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3config
        """
        return {"m.upload.size": self._max_upload_size}


def _asking(query: LegacyQuery | LegacyThumbnailQuery, request: Request) -> Asking:
    return Asking(
        payer=request.client_address,
        is_authenticated=False,
        may_fetch=query.allow_remote,
        timeout_ms=query.timeout_ms,
    )
