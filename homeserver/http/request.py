"""One request, as authenticators and handlers see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol
from urllib.parse import unquote

from homeserver.errors import NotJson
from homeserver.http.head import Head, Headers

_NO_HEADERS: Headers = {}


class BodyStream(Protocol):
    """A body that is still arriving."""

    def chunks(self) -> AsyncIterator[bytes]: ...


class Request:
    """A request whose head has been read.

    `user` is filled once the requester is known, for the access line. `received_at` is on the clock's
    monotonic scale.
    """

    __slots__ = (
        "_on_disconnect",
        "body",
        "client_address",
        "content_length",
        "headers",
        "is_disconnected",
        "is_http_1_1",
        "is_secure",
        "method",
        "operation",
        "path",
        "query_string",
        "received_at",
        "request_id",
        "stream",
        "user",
        "user_agent",
    )

    def __init__(
        self, head: Head, *, request_id: str, client_address: str, is_secure: bool, received_at: float
    ) -> None:
        self.method = head.method
        self.path, _, self.query_string = head.target.partition("?")
        self.headers = head.headers
        self.is_http_1_1 = head.is_1_1
        self.content_length = head.length
        self.user_agent = head.headers.get(b"user-agent", b"")
        self.request_id = request_id
        self.client_address = client_address
        self.is_secure = is_secure
        self.received_at = received_at
        self.body = b""
        self.stream: BodyStream | None = None
        self.user: str | None = None
        self.operation = ""
        self.is_disconnected = False
        self._on_disconnect: list[Callable[[], object]] | None = None

    def header(self, name: str) -> str | None:
        """A header's value; several of one name are joined by commas."""
        value = self.headers.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def access_token(self) -> str | None:
        """The access token: of the Authorization header, else (deprecated) of the query."""
        value = self.headers.get(b"authorization")
        if value is not None and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
        if "access_token=" in self.query_string:
            for pair in self.query_string.split("&"):
                if pair.startswith("access_token="):
                    return unquote(pair[13:].replace("+", " "))
        return None

    def forget_headers(self) -> None:
        """Let go of the headers, for who waits long: a thousand idle long-polls need none of them."""
        self.headers = _NO_HEADERS

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, for an endpoint that `streams`. To leave it unread ends the connection."""
        if self.stream is None:
            raise NotJson("the body has been read already")
        return self.stream.chunks()

    def on_disconnect(self, call: Callable[[], object]) -> None:
        """Call when the client goes away before it has its answer: nothing else interrupts a handler.

        Who waits cancels its waiting here; who writes asks for nothing and is never stopped half-way.
        """
        if self.is_disconnected:
            call()
        elif self._on_disconnect is None:
            self._on_disconnect = [call]
        else:
            self._on_disconnect.append(call)

    def disconnected(self) -> None:
        """The client has gone away. For the connection to say."""
        if self.is_disconnected:
            return
        self.is_disconnected = True
        calls, self._on_disconnect = self._on_disconnect, None
        for call in calls or ():
            call()

    def finished(self) -> None:
        """The answer is out: nobody needs to hear of a disconnection any more."""
        self._on_disconnect = None
