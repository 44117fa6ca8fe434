"""One WebSocket that follows: updates as `/sync` makes them, and requests that clients send over the same line.

The next update is composed only after the last one was handed to the socket, so whoever reads slowly gets fewer and
larger updates, and nothing queues up. To-device messages are not taken for received because they were written: they are
acknowledged by the pong to a ping sent after them, or by the token that the client comes back with.
Spec: the draft `attic/drafts/websockets.rst` of the specification's repository, and what its implementations became.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred

from homeserver.errors import BadJson, MatrixError, MissingParam, NotJson, UnknownToken, UserLocked
from homeserver.http.body import parse_object
from homeserver.http.requester import Requester
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from homeserver.sync.clients import SyncClients, Watch
from homeserver.sync.composer import Answer
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.request import SyncRequest

HEARTBEAT_MS = 60_000
PING_EVERY_S = 54.0
PONG_WITHIN_S = 60.0
CLOSE_WITHIN_S = 5.0
CLOSE_GOING_AWAY = 1001
CLOSE_TOKEN_REVOKED = 3002
CLOSE_ACCOUNT = 3003
CLOSE_FAILED = 1011
MAX_REQUESTS = 50
"""How many requests of one socket are worked on at once; more are refused."""

Method = Callable[[Requester, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Serves one method for a requester: the request's ID and its params in, the result out."""


class Line(Protocol):
    """What a session needs of the WebSocket protocol."""

    def send_text(self, data: bytes) -> None: ...

    def send_ping(self, payload: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


class Acknowledger(Protocol):
    """Told that a device has everything up to a place."""

    async def acknowledge(self, who: Requester, position: int) -> None: ...


@dataclass(slots=True, frozen=True)
class SocketServices:
    """What every session works with."""

    polls: LongPolls
    clients: SyncClients
    clock: Clock
    tasks: Tasks
    methods: Mapping[str, Method]
    acknowledger: Acknowledger | None = None


class SocketSession:
    """The life of one socket after its handshake."""

    def __init__(
        self,
        services: SocketServices,
        who: Requester,
        request: SyncRequest,
        first: Answer,
        *,
        set_presence: str,
    ) -> None:
        self._services = services
        self._who = who
        self._request = request
        self._first = first
        self._set_presence = set_presence
        self._line: Line | None = None
        self._stop_waiting: Callable[[], None] | None = None
        self._writable: Deferred[None] | None = None
        self._ping: Timer | None = None
        self._ending: Timer | None = None
        self._last_pong = services.clock.seconds()
        self._running = 0

    def opened(self, line: Line) -> None:
        """The handshake is done: the first update goes out even if it says nothing."""
        self._line = line
        self._last_pong = self._services.clock.seconds()
        self._ping = self._services.clock.call_later(PING_EVERY_S, self._keep_alive)
        self._services.tasks.spawn(f"socket of {self._who.user_id}", self._follow())

    def closed(self) -> None:
        self._line = None
        for timer in (self._ping, self._ending):
            if timer is not None and timer.active():
                timer.cancel()
        self.writable()
        if self._stop_waiting is not None:
            self._stop_waiting()

    def stalled(self) -> None:
        """The client does not read: nothing more is composed until it does."""
        if self._writable is None:
            self._writable = Deferred()

    def writable(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.callback(None)

    def ponged(self, payload: bytes) -> None:
        """The client is there, and has read what was sent before the ping."""
        self._last_pong = self._services.clock.seconds()
        acknowledger = self._services.acknowledger
        if acknowledger is None or not payload.startswith(b"s"):
            return
        token = parse_token(payload.decode("ascii", "replace"))
        self._services.tasks.spawn(
            f"acknowledgement of {self._who.user_id}", acknowledger.acknowledge(self._who, token.received)
        )

    def received(self, data: bytes) -> None:
        """One text frame: a request."""
        if self._running >= MAX_REQUESTS:
            refusal = MatrixError("too many requests at once", status=429, errcode="M_LIMIT_EXCEEDED")
            self._send({"id": _id_of(data), "error": refusal.body()})
            return
        self._running += 1
        self._services.tasks.spawn(f"socket request of {self._who.user_id}", self._serve(data))

    async def _follow(self) -> None:
        """Update after update, until the line is gone."""
        clients, polls = self._services.clients, self._services.polls
        answer = self._first
        with clients.watch(self._who) as watch:
            while self._line is not None:
                self._line.send_text(answer.body)
                # The line may have gone while it was written to.
                if b'"to_device"' in answer.body and self._line is not None:
                    self._line.send_ping(str(answer.token).encode())
                if self._writable is not None:
                    await self._writable
                if polls.is_stopping:
                    self._close(CLOSE_GOING_AWAY, "the server is stopping")
                    return
                refusal = await self._next(polls, watch, answer.token)
                if isinstance(refusal, MatrixError):
                    self._refuse(refusal)
                    return
                answer = refusal

    async def _next(self, polls: LongPolls, watch: Watch, since: StreamToken) -> Answer | MatrixError:
        self._services.clients.seen(self._request, self._set_presence)
        try:
            return await polls.poll(
                replace(self._request, since=since, full_state=False, is_acknowledged=False),
                HEARTBEAT_MS,
                self._wait_with,
                watch,
            )
        except MatrixError as error:
            return error

    def _wait_with(self, stop: Callable[[], None]) -> None:
        self._stop_waiting = stop

    def _close(self, code: int, reason: str) -> None:
        line = self._line
        if line is not None:
            line.close(code, reason)
            # The client answers with a close of its own, or is cut off.
            self._ending = self._services.clock.call_later(CLOSE_WITHIN_S, line.abort)

    def _refuse(self, refusal: MatrixError) -> None:
        code = CLOSE_FAILED
        if isinstance(refusal, UserLocked):
            code = CLOSE_ACCOUNT
        elif isinstance(refusal, UnknownToken):
            code = CLOSE_TOKEN_REVOKED
        self._close(code, refusal.error[:100])

    async def _serve(self, data: bytes) -> None:
        request_id: Any = None
        try:
            request = parse_object(data)
            request_id = request.get("id")
            answer = {"id": request_id, "result": await self._call(request)}
        except NotJson as error:
            answer = {"id": None, "error": error.body()}
        except MatrixError as error:
            answer = {"id": request_id, "error": error.body()}
        finally:
            self._running -= 1
        self._send(answer)

    async def _call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name, request_id = request.get("method"), request.get("id")
        method = self._services.methods.get(name) if isinstance(name, str) else None
        if method is None:
            raise BadJson("Unknown method")
        params = request.get("params", request.get("param", {}))
        if not isinstance(params, dict):
            raise BadJson("params must be an object")
        if not isinstance(request_id, str) or not request_id:
            raise MissingParam("Missing parameter: id")
        return await method(self._who, request_id, params)

    def _send(self, answer: dict[str, Any]) -> None:
        if self._line is not None:
            self._line.send_text(msgspec.json.encode(answer))

    def _keep_alive(self) -> None:
        if self._line is None:
            return
        clock = self._services.clock
        if clock.seconds() - self._last_pong > PING_EVERY_S + PONG_WITHIN_S:
            self._line.abort()
            return
        self._line.send_ping(b"alive")
        self._ping = clock.call_later(PING_EVERY_S, self._keep_alive)


def _id_of(data: bytes) -> Any:
    try:
        return parse_object(data).get("id")
    except MatrixError:
        return None
