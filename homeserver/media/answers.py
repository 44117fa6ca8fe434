"""Files as HTTP answers: whole or in part, with the headers that keep browsers from running them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec

from config.media import ThumbnailSize
from homeserver.http.request import Request
from homeserver.http.responses import Response, StreamedBody
from homeserver.media.downloads import DEFAULT_WAIT_MS, Downloads
from homeserver.media.thumbnails import FoundThumbnail, Thumbnails
from homeserver.media.types import SECURITY_HEADERS, disposition
from homeserver.media.uploads import Upload
from storage.media import MediaRow

CACHE_PRIVATE = "private, max-age=86400, immutable"
CACHE_PUBLIC = "public, max-age=86400, immutable"
_is_range = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII).fullmatch


Pixels = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class DownloadQuery(msgspec.Struct):
    """How a file is asked for."""

    timeout_ms: int = DEFAULT_WAIT_MS


class ThumbnailQuery(msgspec.Struct):
    """Which thumbnail is asked for."""

    width: Pixels
    height: Pixels
    method: Literal["crop", "scale"] = "scale"
    animated: bool | None = None
    timeout_ms: int = DEFAULT_WAIT_MS

    @property
    def size(self) -> ThumbnailSize:
        return ThumbnailSize(width=self.width, height=self.height, method=self.method)


class Unsatisfiable(Exception):
    """None of the bytes that are asked for exist."""


def parse_range(value: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and how many; None for all of it, which is also the answer to what we do not understand.

    Raises:
        Unsatisfiable: the range begins behind the end.
    """
    found = _is_range(value.strip()) if value is not None else None
    if found is None:
        return None
    first, last = found[1], found[2]
    if not first:
        if not last:
            return None
        start, end = max(size - int(last), 0), size
        if not int(last):
            raise Unsatisfiable
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise Unsatisfiable
    return start, end - start


async def file_answer(
    downloads: Downloads, row: MediaRow, request: Request, *, filename: str | None, cache: str
) -> StreamedBody | Response:
    """A file, or the part of it that the client asks for."""
    etag = f'"{row.digest}"'
    headers = {
        **SECURITY_HEADERS,
        "Content-Disposition": disposition(row.content_type, filename),
        "Cache-Control": cache,
        "ETag": etag,
        "Accept-Ranges": "bytes",
    }
    if is_unchanged(request, etag):
        return Response(304, b"", headers)
    start, length, status = 0, row.size, 200
    if request.header("if-range") in (None, etag):
        try:
            part = parse_range(request.header("range"), row.size)
        except Unsatisfiable:
            error = {"errcode": "M_UNKNOWN", "error": f"the file has {row.size} bytes"}
            return Response(416, error, {"Content-Range": f"bytes */{row.size}"})
        if part is not None:
            start, length = part
            status = 206
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{row.size}"
    chunks = await downloads.open(row, start=start, length=length)
    return StreamedBody(chunks, row.content_type, length, status, headers)


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether the client has it already."""
    known = request.header("if-none-match")
    return known is not None and (
        known.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in known.split(","))
    )


async def thumbnail_answer(
    thumbnails: Thumbnails, found: FoundThumbnail, request: Request, *, cache: str
) -> StreamedBody | Response:
    """A thumbnail, which browsers may always show."""
    headers = {
        **SECURITY_HEADERS,
        "Content-Disposition": disposition(found.row.content_type, found.filename),
        "Cache-Control": cache,
        "ETag": found.etag,
    }
    if is_unchanged(request, found.etag):
        return Response(304, b"", headers)
    chunks = await thumbnails.open(found)
    return StreamedBody(chunks, found.row.content_type, found.row.size, 200, headers)


def upload_of(request: Request, filename: str | None) -> Upload:
    """The file that a request brings as its body."""
    length = request.content_length if request.content_length >= 0 else None
    chunks = _nothing() if length == 0 else request.chunks()
    return Upload(chunks, request.header("content-type"), filename, length)


async def _nothing() -> AsyncIterator[bytes]:
    """The body of a request without one: an empty file."""
    none: tuple[bytes, ...] = ()
    for chunk in none:
        yield chunk
