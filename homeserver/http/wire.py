"""Answers as bytes: status line, headers and body of an HTTP/1.1 response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

import msgspec

from homeserver.http.head import BadRequest
from homeserver.http.responses import JSON, Answer, Empty, HtmlResponse, RawJson, Response

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH, HEAD",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Idempotency-Key",
}
"""On every answer, so that clients may run in browsers.

Spec: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients
"""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

encode_json = msgspec.json.Encoder().encode

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_is_header_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_header_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_WITHOUT_BODY = frozenset({204, 304})


class Wire:
    """Writes heads. What never changes is made once, what changes with the time once a second."""

    def __init__(self, now_ms: Callable[[], int], *, server_header: str = "Hearth") -> None:
        self._now_ms = now_ms
        self._server = server_header
        self._second = -1
        self._date = ""
        self._json_prefixes: dict[int, bytes] = {}

    def json(self, status: int, body: bytes, *, close: bool, head_only: bool) -> bytes:
        """A whole JSON response."""
        second = self._now_ms() // 1000
        if second != self._second:
            self._turn(second)
        prefix = self._json_prefixes.get(status)
        if prefix is None:
            prefix = self._json_prefixes[status] = self._json_prefix(status)
        if close:
            prefix = prefix.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        if head_only:
            return b"%b%d\r\n\r\n" % (prefix, len(body))
        return b"%b%d\r\n\r\n%b" % (prefix, len(body), body)

    def bad_request(self, error: BadRequest) -> bytes:
        """The answer to what is no request."""
        body = encode_json({"errcode": "M_UNKNOWN", "error": f"Bad request: {error}"})
        return self.json(error.status, body, close=True, head_only=False)

    def head(self, status: int, headers: Mapping[str, str], *, length: int | None, close: bool) -> bytes:
        """A response's head. Without a length the body is chunked, or (`close`) ends with the connection.

        Raises:
            ValueError: a header would break out of its line.
        """
        second = self._now_ms() // 1000
        if second != self._second:
            self._turn(second)
        given = {name.lower() for name in headers}
        reason = _REASONS.get(status, "Unknown")
        lines = [f"HTTP/1.1 {status} {reason}", f"Server: {self._server}", f"Date: {self._date}"]
        lines += [f"{name}: {value}" for name, value in CORS.items() if name.lower() not in given]
        for name, value in headers.items():
            if not _is_header_name(name) or not _is_header_value(value):
                raise ValueError(f"not a header: {name!r}: {value!r}")
            lines.append(f"{name}: {value}")
        if status not in _WITHOUT_BODY:
            if length is not None:
                lines.append(f"Content-Length: {length}")
            elif not close:
                lines.append("Transfer-Encoding: chunked")
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _turn(self, second: int) -> None:
        self._second = second
        self._date = formatdate(second, usegmt=True)
        self._json_prefixes.clear()

    def _json_prefix(self, status: int) -> bytes:
        headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
        head = self.head(status, headers, length=0, close=False)
        return head[: -len(b"0\r\n\r\n")]


def json_body(answer: Answer) -> bytes | None:
    """The JSON of an answer with status 200 and no headers of its own; None for the other kinds."""
    if isinstance(answer, RawJson):
        return answer.body
    if isinstance(answer, Empty):
        return b"{}"
    if isinstance(answer, (dict, list, msgspec.Struct)):
        return encode_json(answer)
    return None


def whole_body(answer: Response | HtmlResponse) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer that is complete in memory."""
    if isinstance(answer, HtmlResponse):
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": answer.policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **answer.headers,
        }
        return headers, answer.html.encode("utf-8")
    if isinstance(answer.body, bytes):
        return dict(answer.headers), answer.body
    return {"Content-Type": JSON, "Cache-Control": "no-store", **answer.headers}, encode_json(answer.body)
