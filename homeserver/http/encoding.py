"""From what a handler returned to what is written."""

from __future__ import annotations

from dataclasses import dataclass
from gzip import compress

from homeserver.http.outgoing import Streamed, pieces
from homeserver.http.request import Request
from homeserver.http.responses import JSON, Answer, HtmlResponse, Response, StreamedBody
from homeserver.http.wire import Wire, json_body, whole_body

LARGE_BYTES = 256 * 1024
"""Answers beyond this size are written as fast as the client takes them."""


@dataclass(slots=True)
class Whole:
    """An answer as bytes: head and body, written at once."""

    status: int
    data: bytes
    size: int


class Encoder:
    """Encodes the answers of one listener; `compress_above` turns on gzip for JSON of so many bytes."""

    __slots__ = ("_compress_above", "_wire")

    def __init__(self, wire: Wire, compress_above: int | None = None) -> None:
        self._wire = wire
        self._compress_above = compress_above

    def encode(self, answer: Answer, request: Request, *, close: bool) -> Whole | Streamed:
        """The bytes of an answer.

        Raises:
            TypeError: the handler returned what is no answer, or what JSON cannot say.
            ValueError: a header would break out of its line.
        """
        body = json_body(answer)
        if body is not None:
            if len(body) <= LARGE_BYTES and self._compress_above is None:
                data = self._wire.json(200, body, close=close, head_only=request.method == "HEAD")
                return Whole(200, data, len(body))
            answer = Response(200, body, {"Content-Type": JSON, "Cache-Control": "no-store"})
        if isinstance(answer, StreamedBody):
            return self._stream(answer, request, close=close)
        if not isinstance(answer, (Response, HtmlResponse)):
            raise TypeError(f"a handler may not return {type(answer).__name__}")
        headers, body = whole_body(answer)
        if self._compress_above is not None and headers.get("Content-Type") == JSON:
            headers["Vary"] = "Accept-Encoding"
            if len(body) > self._compress_above and b"gzip" in request.headers.get(b"accept-encoding", b""):
                body = compress(body, 1)
                headers["Content-Encoding"] = "gzip"
        head = self._wire.head(answer.status, headers, length=len(body), close=close)
        if request.method == "HEAD":
            return Whole(answer.status, head, 0)
        if len(body) > LARGE_BYTES:
            return Streamed(answer.status, head, pieces(body), len(body), chunked=False)
        return Whole(answer.status, head + body, len(body))

    def _stream(self, answer: StreamedBody, request: Request, *, close: bool) -> Streamed:
        chunked = answer.length is None and request.is_http_1_1
        headers = {"Content-Type": answer.content_type, **answer.headers}
        head = self._wire.head(
            answer.status,
            headers,
            length=answer.length,
            close=close or (answer.length is None and not chunked),
        )
        return Streamed(answer.status, head, answer.chunks, answer.length, chunked)
