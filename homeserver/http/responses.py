"""What a handler may return beside a struct or a dict, both of which are answered as JSON with status 200."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from twisted.internet.protocol import Protocol

JSON = "application/json"

HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of pages that Hearth shows: no script, no other origin, no framing."""


class Empty:
    """An empty JSON object."""

    __slots__ = ()


class RawJson:
    """JSON that is serialised already."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


@dataclass(slots=True)
class Response:
    """Any status and any body; a struct or dict becomes JSON, bytes are sent as they are."""

    status: int = 200
    body: msgspec.Struct | Mapping[str, Any] | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class HtmlResponse:
    """A page whose text is escaped already (a template's output), answered under a strict policy.

    A page that needs a script or a style of its own passes a whole `policy` with their hashes or nonces.
    """

    html: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    policy: str = HTML_POLICY


@dataclass(slots=True)
class StreamedBody:
    """A body that is produced chunk by chunk, as fast as the client takes it, in constant memory.

    Without a `length` it is sent in chunked encoding. The iterator is closed when the client goes away.
    """

    chunks: AsyncIterator[bytes]
    content_type: str
    length: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Upgrade:
    """Hand the connection over. The protocol gets the request's head again, as one of WebSockets expects."""

    protocol_factory: Callable[[], Protocol]


Answer = (
    msgspec.Struct
    | Mapping[str, Any]
    | list[Any]
    | Empty
    | RawJson
    | Response
    | HtmlResponse
    | StreamedBody
    | Upgrade
)
