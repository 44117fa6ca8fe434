"""A server with a few endpoints, and a client that speaks raw bytes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from homeserver.errors import AuthRejected, InvalidEvent, LimitExceeded, NotFound, RemoteError
from homeserver.http.endpoint import Auth, EndpointDeclaration, RateLimit, endpoint
from homeserver.http.rate_limit import RateLimiter, Unlimited
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, HtmlResponse, RawJson, Response, StreamedBody, Upgrade
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.runtime.clock import Clock
from tests.fixtures.reactor import VirtualReactor
from tests.harness.wire import MemoryTransport

ALICE = Requester(UserID("@alice:test"), DeviceID("PHONE"))
TOKENS = {
    "alice": ALICE,
    "guest": Requester(UserID("@guest:test"), is_guest=True),
    "admin": Requester(UserID("@admin:test"), is_admin=True),
    "locked": Requester(UserID("@locked:test"), is_locked=True),
    "suspended": Requester(UserID("@suspended:test"), is_suspended=True),
    "robot": Requester(UserID("@robot:test"), is_rate_limited=False),
}


class Typing(msgspec.Struct):
    typing: bool
    timeout: int = 30_000


class Page(msgspec.Struct):
    limit: int = 10
    since: str | None = None
    via: list[str] = []


class Echo(Protocol):
    """Sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


class Endpoints:
    """One endpoint for each way to answer."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.uploads: list[bytes] = []
        self.is_broken_off = False
        self.closed_streams = 0

    @endpoint("GET", "/_matrix/client/v3/page")
    async def page(self, who: Requester, query: Page) -> dict[str, Any]:
        """Its query."""
        return {"user": who.user_id, **msgspec.structs.asdict(query)}

    @endpoint("PUT", "/_matrix/client/v3/rooms/{room_id}/typing/{user_id}", rate_limit=RateLimit("typing"))
    async def set_typing(
        self, who: Requester, room_id: RoomID, user_id: UserID, body: Typing
    ) -> dict[str, Any]:
        """Its parameters."""
        return {"room": room_id, "user": user_id, "typing": body.typing, "timeout": body.timeout}

    @endpoint("POST", "/any", auth=Auth.NONE, max_body=1000)
    async def any_object(self, body: dict[str, Any]) -> dict[str, Any]:
        """Its body."""
        return body

    @endpoint("GET", "/sync", auth=Auth.ACCESS_TOKEN, guests=True)
    async def wait(self, who: Requester, request: Request) -> RawJson:
        """Waits until it is told to go on, or left alone."""
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        request.on_disconnect(waiting.cancel)
        request.forget_headers()
        await waiting
        return RawJson(b'{"next_batch":"s1"}')

    @endpoint("POST", "/write", auth=Auth.NONE)
    async def write(self) -> Empty:
        """Waits, and does not want to hear of disconnections."""
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        await waiting
        self.uploads.append(b"written")
        return Empty()

    @endpoint("GET", "/plain", auth=Auth.NONE)
    def plain(self) -> Empty:
        """Is no coroutine."""
        return Empty()

    @endpoint("GET", "/admin", auth=Auth.ADMIN)
    async def admin(self, who: Requester) -> Empty:
        """For administrators."""
        return Empty()

    @endpoint("POST", "/active", suspended=False)
    async def active(self, who: Requester) -> Empty:
        """Not for suspended accounts."""
        return Empty()

    @endpoint("POST", "/logout", locked=True)
    async def logout(self, who: Requester) -> Empty:
        """For locked accounts too."""
        return Empty()

    @endpoint("GET", "/who", auth=Auth.ACCESS_TOKEN_OPTIONAL)
    async def who(self, who: Requester | None) -> dict[str, Any]:
        """Who asks, if anybody."""
        return {"user": who and who.user_id}

    @endpoint("GET", "/fails/{how}", auth=Auth.NONE)
    async def fail(self, how: str) -> Empty:
        """Fails."""
        raise {
            "missing": NotFound("no such thing"),
            "limited": LimitExceeded(retry_after_ms=1500),
            "rejected": AuthRejected("4.1", "no"),
            "malformed": InvalidEvent("no type"),
            "remote": RemoteError("example.org is down", status=500, errcode="M_UNKNOWN"),
            "bug": KeyError("secret detail"),
        }[how]

    @endpoint("POST", "/upload", auth=Auth.NONE, streams=True, max_body=1_000_000)
    async def upload(self, request: Request) -> dict[str, int]:
        """Reads its body as it comes."""
        size = 0
        try:
            async for chunk in request.chunks():
                self.uploads.append(chunk)
                size += len(chunk)
        except Exception:
            self.is_broken_off = True
            raise
        return {"size": size}

    @endpoint("POST", "/unwanted", auth=Auth.NONE, streams=True, max_body=1_000_000)
    async def unwanted(self, request: Request) -> Empty:
        """Does not read its body."""
        return Empty()

    @endpoint("GET", "/download/{size}", auth=Auth.NONE)
    async def download(self, size: int) -> StreamedBody:
        """A long body of known length."""
        return StreamedBody(self._chunks(size), "application/octet-stream", length=size)

    @endpoint("GET", "/stream/{size}", auth=Auth.NONE)
    async def stream(self, size: int) -> StreamedBody:
        """A long body whose length is not said."""
        return StreamedBody(self._chunks(size), "application/octet-stream")

    @endpoint("GET", "/short", auth=Auth.NONE)
    async def short(self) -> StreamedBody:
        """Less than it promises."""
        return StreamedBody(self._chunks(5), "text/plain", length=10)

    @endpoint("GET", "/page.html", auth=Auth.NONE)
    async def html(self) -> HtmlResponse:
        """A page."""
        return HtmlResponse("<p>grüße</p>")

    @endpoint("GET", "/split", auth=Auth.NONE)
    async def split(self) -> Response:
        """Tries to add a header of its own."""
        return Response(200, {}, {"X-A": "1\r\nX-B: 2"})

    @endpoint("GET", "/large/{size}", auth=Auth.NONE)
    async def large(self, size: int) -> RawJson:
        """A long JSON string."""
        return RawJson(b'"' + b"x" * (size - 2) + b'"')

    @endpoint("GET", "/socket", auth=Auth.NONE)
    async def socket(self) -> Upgrade:
        """Becomes something else."""
        return Upgrade(Echo)

    async def _chunks(self, size: int) -> AsyncIterator[bytes]:
        try:
            while size > 0:
                chunk = b"x" * min(size, 10_000)
                size -= len(chunk)
                yield chunk
        finally:
            self.closed_streams += 1


class Served:
    """The server; `lines` are its access lines."""

    def __init__(
        self, reactor: VirtualReactor, *, limiter: RateLimiter | None = None, **options: Any
    ) -> None:
        self.reactor = reactor
        self.endpoints = Endpoints()
        self.lines: list[str] = []
        authenticators = {
            Auth.ACCESS_TOKEN: _authenticate,
            Auth.ACCESS_TOKEN_OPTIONAL: _authenticate,
            Auth.ADMIN: _authenticate,
        }
        router = Router([self.endpoints], authenticators, limiter or Unlimited())
        clock = Clock(reactor, epoch_s=1_700_000_000)
        self.server = HttpServer(router, clock, write_access=self.lines.append, **options)

    def connect(self, address: str = "192.0.2.1") -> Peer:
        """A client."""
        return Peer(self.server, address)

    def ask(self, request: bytes, address: str = "192.0.2.1") -> bytes:
        """What comes back for some bytes on a new connection."""
        peer = self.connect(address)
        peer.send(request)
        return peer.take()

    def access_lines(self) -> str:
        """The access lines so far."""
        self.reactor.advance(1)
        return "".join(self.lines)


class Peer:
    """The client's end of a connection."""

    def __init__(self, server: HttpServer, address: str) -> None:
        self._received = bytearray()
        self.is_closed = False
        self.transport = MemoryTransport(address, self._receive, self._close)
        protocol: Any = server.buildProtocol(None)
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.transport.deliver(data)

    def take(self) -> bytes:
        """What has been received since the last time."""
        received, self._received = self._received, bytearray()
        return bytes(received)

    def _receive(self, data: bytes) -> None:
        self._received += data

    def _close(self) -> None:
        self.is_closed = True


def _authenticate(request: Request, _: EndpointDeclaration) -> Requester | None:
    token = request.access_token()
    return None if token is None else TOKENS[token]


def get(target: str, *headers: str) -> bytes:
    """A GET request."""
    return "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", "Host: test", *headers, "")).encode()


def put(target: str, body: bytes, *headers: str, method: str = "PUT") -> bytes:
    """A request with a body."""
    lines = (f"{method} {target} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers, "")
    return "".join(f"{line}\r\n" for line in lines).encode() + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def headers_of(answer: bytes) -> dict[str, str]:
    """The headers; their names in lower case."""
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def json_of(answer: bytes) -> Any:
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
