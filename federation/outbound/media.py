"""Media of other servers, streamed from where it is.

Spec: https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from federation.outbound.requests import Refused, SignedRequests, path, with_query
from federation.outbound.transport import RemoteRequest, WebClient
from federation.wire.multipart import MediaParts, boundary_of
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from homeserver.ids import ServerName

MAX_REDIRECTS = 3
TRANSFER_TIMEOUT_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class MediaHead:
    """What a server says about its media."""

    content_type: str | None
    content_disposition: str | None


@dataclass(frozen=True, slots=True)
class ThumbnailSize:
    """The thumbnail that is wanted."""

    width: int
    height: int
    method: Literal["crop", "scale"]
    animated: bool | None = None


OpenMedia = Callable[[MediaHead], Callable[[bytes], None]]
"""Given what the server says about the media, makes what takes its bytes."""


class RemoteMedia:
    """Downloads media and thumbnails."""

    def __init__(self, requests: SignedRequests, web: WebClient) -> None:
        self._requests = requests
        self._web = web

    async def download(
        self, server: ServerName, media_id: str, *, timeout_ms: int, max_bytes: int, open_media: OpenMedia
    ) -> None:
        """Stream the media to what `open_media` makes.

        Raises:
            Refused: the server has it not (404), not yet (504 `M_NOT_YET_UPLOADED`), or does not give it.
            RemoteError: the answer is malformed or larger than `max_bytes`.
        """
        query = {"timeout_ms": timeout_ms}
        await self._get(
            server,
            with_query(path("federation/v1/media/download", media_id), query),
            with_query(path("media/v3/download", server, media_id), {**query, **_LEGACY}),
            timeout_ms + TRANSFER_TIMEOUT_MS,
            max_bytes,
            open_media,
        )

    async def thumbnail(
        self,
        server: ServerName,
        media_id: str,
        size: ThumbnailSize,
        *,
        timeout_ms: int,
        max_bytes: int,
        open_media: OpenMedia,
    ) -> None:
        """Stream a thumbnail of the media; see `download`."""
        query = {
            "width": size.width,
            "height": size.height,
            "method": size.method,
            "animated": size.animated,
            "timeout_ms": timeout_ms,
        }
        await self._get(
            server,
            with_query(path("federation/v1/media/thumbnail", media_id), query),
            with_query(path("media/v3/thumbnail", server, media_id), {**query, **_LEGACY}),
            timeout_ms + TRANSFER_TIMEOUT_MS,
            max_bytes,
            open_media,
        )

    async def _get(
        self,
        server: ServerName,
        uri: str,
        legacy_uri: str,
        timeout_ms: int,
        max_bytes: int,
        open_media: OpenMedia,
    ) -> None:
        parts = _Parts(open_media)
        try:
            await self._requests.send(
                server,
                "GET",
                uri,
                timeout_ms=timeout_ms,
                max_bytes=max_bytes + _ENVELOPE_BYTES,
                open_sink=parts.open,
            )
        except Refused as error:
            if error.status != 404 or error.errcode != "M_UNRECOGNIZED":
                raise
            # COMPAT(servers before v1.11): media without authentication.
            await self._get_unauthenticated(server, legacy_uri, timeout_ms, max_bytes, open_media)
            return
        location = parts.finish()
        if location is not None:
            await self._follow(location, timeout_ms, max_bytes, open_media)

    async def _get_unauthenticated(
        self, server: ServerName, uri: str, timeout_ms: int, max_bytes: int, open_media: OpenMedia
    ) -> None:
        request = RemoteRequest(
            server,
            "GET",
            uri,
            timeout_ms=timeout_ms,
            max_bytes=max_bytes,
            open_sink=lambda answer: open_media(_head(answer.headers)),
        )
        try:
            await self._requests.perform(request)
        except Refused as error:
            if error.location is None:
                raise
            await self._follow(error.location, timeout_ms, max_bytes, open_media)

    async def _follow(self, location: str, timeout_ms: int, max_bytes: int, open_media: OpenMedia) -> None:
        answer = await self._web.fetch(
            "GET",
            location,
            timeout_ms=timeout_ms,
            max_bytes=max_bytes,
            max_redirects=MAX_REDIRECTS,
            open_sink=lambda answer: open_media(_head(answer.headers)),
        )
        if answer.status != 200:
            raise RemoteError(
                f"the place that media is said to be at answers {answer.status}", status=answer.status
            )


_LEGACY: Mapping[str, bool] = {"allow_remote": False, "allow_redirect": True}
_ENVELOPE_BYTES = 128 * 1024
"""What multipart may add to the media."""


class _Parts:
    """The multipart answer as it comes."""

    def __init__(self, open_media: OpenMedia) -> None:
        self._open_media = open_media
        self._parts: MediaParts | None = None
        self._write: Callable[[bytes], None] | None = None
        self._location: str | None = None

    def open(self, answer: Answer) -> Callable[[bytes], None]:
        boundary = boundary_of(answer.headers.get("content-type", ""))
        if boundary is None:
            raise RemoteError("media came in an answer that is not multipart/mixed")
        self._parts = MediaParts(boundary, self._on_head, self._on_data)
        return self._parts.feed

    def finish(self) -> str | None:
        """The answer has ended; gives where the media is, if it was not in it."""
        if self._parts is None:
            raise RemoteError("media came in an answer without a body")
        self._parts.finish()
        return self._location

    def _on_head(self, headers: dict[str, str]) -> None:
        self._location = headers.get("location")
        if self._location is None:
            self._write = self._open_media(_head(headers))

    def _on_data(self, data: bytes) -> None:
        if self._write is not None:
            self._write(data)


def _head(headers: Mapping[str, str]) -> MediaHead:
    return MediaHead(headers.get("content-type"), headers.get("content-disposition"))
