"""Previews of links.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
"""

from __future__ import annotations

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.media.previews import UrlPreviews

_PREVIEW = RateLimit("url_preview")


class PreviewQuery(msgspec.Struct):
    """The link. There is one version of each preview, so that `ts` says nothing to us."""

    url: str
    ts: int | None = None


class PreviewEndpoints:
    """Looking behind links, so that clients need not."""

    def __init__(self, previews: UrlPreviews) -> None:
        self._previews = previews

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/preview_url",
        rate_limit=_PREVIEW,
        aliases=("/_matrix/client/unstable/org.matrix.msc3916/media/preview_url",),
    )
    async def get_url_preview_authed(self, who: Requester, query: PreviewQuery) -> RawJson:
        """What a page says of itself.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
        """
        return RawJson(await self._previews.load(query.url))

    @endpoint(
        "GET",
        "/_matrix/media/v3/preview_url",
        rate_limit=_PREVIEW,
        aliases=("/_matrix/media/r0/preview_url", "/_matrix/media/v1/preview_url"),
    )
    async def get_url_preview(self, who: Requester, query: PreviewQuery) -> RawJson:
        """The same under its old path.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3preview_url
        """
        return RawJson(await self._previews.load(query.url))
