"""What the HTTP stack alone costs: CPU of the server for each request, and memory for each idle long-poll.

Over TCP, on the epoll reactor, with a client in a process of its own:

    python -m tests.benchmark.http_requests get 30000 16      a GET with query and token, 16 connections
    python -m tests.benchmark.http_requests put 30000 16      a PUT with a small JSON body and a rate limit
    python -m tests.benchmark.http_requests idle 300          so many suspended long-polls
"""

from __future__ import annotations

import gc
import multiprocessing
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor as real_reactor  # noqa: E402  # only exists once it is installed
from twisted.internet.defer import Deferred  # noqa: E402  # as above

from homeserver.http.endpoint import Auth, RateLimit, endpoint  # noqa: E402  # as above
from homeserver.http.rate_limit import MemoryRateLimiter  # noqa: E402  # as above
from homeserver.http.request import Request  # noqa: E402  # as above
from homeserver.http.requester import Requester  # noqa: E402  # as above
from homeserver.http.responses import RawJson  # noqa: E402  # as above
from homeserver.http.router import Router  # noqa: E402  # as above
from homeserver.http.server import HttpServer  # noqa: E402  # as above
from homeserver.ids import RoomID, UserID  # noqa: E402  # as above
from homeserver.runtime.clock import Clock  # noqa: E402  # as above

reactor: Any = real_reactor

TOKEN = "syt_YWxpY2U_abcdefghijklmnopqrst_0abcde"
HEADERS = (
    "Host: localhost:8008\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Element/1.11\r\n"
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\n"
    f"Authorization: Bearer {TOKEN}\r\n"
)
BODY = '{"msgtype":"m.text","body":"hello world, this is a message of usual length"}'
GET = f"GET /_matrix/client/v3/sync?since=s123456_789&timeout=30000 HTTP/1.1\r\n{HEADERS}\r\n"
PUT = (
    "PUT /_matrix/client/v3/rooms/%21abcdefghijklmnop%3Aexample.org/send/m.room.message/m12345.12 HTTP/1.1\r\n"
    f"{HEADERS}Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
)


class SyncQuery(msgspec.Struct):
    since: str | None = None
    timeout: int = 0
    filter: str | None = None
    full_state: bool = False


class Sent(msgspec.Struct):
    event_id: str


class Rate(NamedTuple):
    per_second: float
    burst_count: int


class Endpoints:
    """A sync that answers, or waits if there is a list to wait in, and a send that does nothing."""

    def __init__(self, waiting: list[Deferred[None]] | None) -> None:
        self._waiting = waiting

    @endpoint("GET", "/_matrix/client/v3/sync")
    async def sync(self, who: Requester, query: SyncQuery, request: Request) -> RawJson:
        if self._waiting is not None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            request.on_disconnect(waiting.cancel)
            request.forget_headers()
            reactor.callLater(query.timeout / 1000, waiting.callback, None)
            await waiting
        return RawJson(b'{"next_batch":"s123456_789"}')

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}",
        rate_limit=RateLimit("message"),
    )
    async def send(
        self, who: Requester, room_id: RoomID, event_type: str, txn_id: str, body: dict[str, Any]
    ) -> Sent:
        return Sent("$abcdefghijklmnopqrstuvwxyz0123456789abcdefg")


def serve(waiting: list[Deferred[None]] | None) -> int:
    """Listen on some port, which is returned."""
    clock = Clock(reactor)
    tokens = {TOKEN: Requester(UserID("@alice:example.org"))}
    router = Router(
        [Endpoints(waiting)],
        {Auth.ACCESS_TOKEN: lambda request, _: tokens.get(request.access_token() or "")},
        MemoryRateLimiter(clock, {"message": Rate(1e9, 10**9)}),
    )
    server = HttpServer(router, clock, write_access=deque[str](maxlen=1).append)
    return int(reactor.listenTCP(0, server, interface="127.0.0.1", backlog=1024).getHost().port)


def ask(port: int, request: str, count: int, connections: int, progress: Any) -> None:
    """The client: rounds of one request on each connection."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for one in sockets:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    progress.put("began")
    for _ in range(count // connections):
        for one in sockets:
            one.sendall(request.encode())
        for one in sockets:
            answer = one.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
    progress.put("ended")


def poll(port: int, count: int) -> None:
    """The client: one request on each connection, and then nothing."""
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(GET.replace("timeout=30000", "timeout=600000").encode())
        sockets.append(one)
    time.sleep(600)


def measure_requests(kind: str, count: int, connections: int) -> None:
    """Print the server's CPU time for each request."""
    port = serve(None)
    progress: Any = multiprocessing.Queue()
    client = multiprocessing.Process(
        target=ask, args=(port, GET if kind == "get" else PUT, count, connections, progress), daemon=True
    )
    client.start()
    began: list[tuple[float, float]] = []

    def look() -> None:
        while not progress.empty():
            if progress.get() == "began":
                began.append((time.process_time(), time.monotonic()))
                continue
            cpu, wall = time.process_time() - began[0][0], time.monotonic() - began[0][1]
            print(f"{kind}, {connections} connections: {cpu / count * 1e6:.1f} us CPU, {count / wall:.0f}/s")
            reactor.stop()
            return
        reactor.callLater(0.02, look)

    reactor.callLater(0, look)
    reactor.run()


def measure_idle(count: int) -> None:
    """Print the memory for each long-poll."""
    waiting: list[Deferred[None]] = []
    port = serve(waiting)
    client = multiprocessing.Process(target=poll, args=(port, count), daemon=True)
    client.start()
    gc.collect()
    before = resident_kb()

    def look() -> None:
        if len(waiting) < count:
            reactor.callLater(0.05, look)
            return
        gc.collect()
        print(f"{count} idle long-polls: {(resident_kb() - before) / count:.2f} KB each")
        client.terminate()
        reactor.stop()

    reactor.callLater(0, look)
    reactor.run()


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


if __name__ == "__main__":
    if sys.argv[1] == "idle":
        measure_idle(int(sys.argv[2]))
    else:
        measure_requests(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
