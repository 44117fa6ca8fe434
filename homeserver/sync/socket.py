"""One WebSocket that follows: updates as `/sync` makes them, and requests that clients send over the same line.

The next update is composed only after the last one was handed to the socket, so whoever reads slowly gets fewer and
larger updates (or, in some dialects, is sent away), and nothing queues up. To-device messages are not taken for
received because they were written: they are acknowledged by the pong to a ping sent after them, or by the token that
the client comes back with.
Spec: the draft `attic/drafts/websockets.rst` of the specification's repository, and what its implementations became.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from homeserver.errors import BadJson, HearthError, MatrixError, NotJson, UnknownToken, UserLocked
from homeserver.events.filters import Filter
from homeserver.http.body import parse_object
from homeserver.http.refusals import as_told
from homeserver.http.requester import Requester
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from homeserver.sync.answer import Answer
from homeserver.sync.clients import SyncClients, Watch
from homeserver.sync.dialect import (
    CLOSE_ACCOUNT,
    CLOSE_FAILED,
    CLOSE_TOKEN_REVOKED,
    Dialect,
    MatrixDialect,
)
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.request import SyncRequest

HEARTBEAT_MS = 60_000
PONG_WITHIN_S = 60.0
CLOSE_WITHIN_S = 5.0
CLOSE_GOING_AWAY = 1001
CLOSE_SLOW = 4008
MAX_REQUESTS = 50
"""How many requests of one socket are worked on at once; more are refused."""

Method = Callable[[Requester, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Serves one method for a requester: the request's ID and its params in, the result out."""


OwnMethods = Callable[["SocketSession"], Mapping[str, Method]]


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
    dialect: Dialect = field(default_factory=MatrixDialect)
    own_methods: OwnMethods | None = None
    """What a client may ask of the session itself."""


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
        own = {} if services.own_methods is None else services.own_methods(self)
        self._methods = {**services.methods, **own}
        self._dialect = services.dialect
        self._who = who
        self._request = request
        self._first = first
        self._set_presence = set_presence
        self._line: Line | None = None
        self._stop_waiting: Callable[[], None] | None = None
        self._writable: Deferred[None] | None = None
        self._timers: dict[str, Timer] = {}
        self._last_pong = services.clock.seconds()
        self._resumed: StreamToken | None = None
        self._running = 0

    def opened(self, line: Line) -> None:
        """The handshake is done: the first update goes out even if it says nothing."""
        self._line = line
        self._last_pong = self._services.clock.seconds()
        self._later("ping", self._dialect.ping_every_s, self._keep_alive)
        self._services.tasks.spawn(f"socket of {self._who.user_id}", self._follow())

    def closed(self) -> None:
        self._line = None
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self.writable()
        if self._stop_waiting is not None:
            self._stop_waiting()

    def stalled(self) -> None:
        """The client does not read: nothing more is composed until it does."""
        if self._writable is None:
            self._writable = Deferred()
            if self._dialect.stalled_s is not None:
                self._later("stalled", self._dialect.stalled_s, self._send_away)

    def writable(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None:
            timer = self._timers.pop("stalled", None)
            if timer is not None and timer.active():
                timer.cancel()
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
            self._send(self._dialect.refusal(_id_of(data), refusal))
            return
        self._running += 1
        self._services.tasks.spawn(f"socket request of {self._who.user_id}", self._serve(data))

    # What a dialect's own methods may ask.

    def resume(self, since: StreamToken) -> None:
        """Go on from another place than the last update's."""
        self._resumed = since
        if self._stop_waiting is not None:
            self._stop_waiting()

    def change(self, wanted: Filter) -> None:
        """From the next update on tell what this filter lets through."""
        self._request = replace(self._request, filter=wanted)

    async def _follow(self) -> None:
        """Update after update, until the line is gone."""
        clients, polls = self._services.clients, self._services.polls
        answer = self._first
        with clients.watch(self._who) as watch:
            while self._line is not None:
                self._tell(answer)
                since = answer.token
                # The line may have gone while it was written to.
                if b'"to_device"' in answer.body and self._line is not None:
                    self._line.send_ping(str(since).encode())
                if self._writable is not None:
                    await self._writable
                if polls.is_stopping:
                    self._close(CLOSE_GOING_AWAY, "the server is stopping")
                    return
                found = await self._next(polls, watch, since)
                if isinstance(found, MatrixError):
                    self._refuse(found)
                    return
                answer = found

    async def _next(self, polls: LongPolls, watch: Watch, since: StreamToken) -> Answer | MatrixError:
        while True:
            since = self._place_to_go_on(since)
            wanted = replace(self._request, since=since, full_state=False, is_acknowledged=False)
            self._services.clients.seen(wanted, self._set_presence)
            try:
                answer = await polls.poll(wanted, HEARTBEAT_MS, self._wait_with, watch)
            except MatrixError as error:
                return error
            if self._line is None or self._resumed is None:
                return answer

    def _place_to_go_on(self, after: StreamToken) -> StreamToken:
        resumed, self._resumed = self._resumed, None
        return resumed or after

    def _wait_with(self, stop: Callable[[], None]) -> None:
        self._stop_waiting = stop

    def _tell(self, answer: Answer) -> None:
        for frame in self._dialect.frames(answer):
            self._send(frame)

    def _close(self, code: int, reason: str) -> None:
        line = self._line
        if line is not None:
            line.close(code, reason)
            # The client answers with a close of its own, or is cut off.
            self._later("ending", CLOSE_WITHIN_S, line.abort)

    def _send_away(self) -> None:
        """The client has not read for too long; it comes back with its token and misses nothing."""
        self._close(CLOSE_SLOW, "too slow")

    def _refuse(self, refusal: MatrixError) -> None:
        code = CLOSE_FAILED
        if isinstance(refusal, UserLocked):
            code = CLOSE_ACCOUNT
        elif isinstance(refusal, UnknownToken):
            code = CLOSE_TOKEN_REVOKED
        farewell = self._dialect.farewell(refusal)
        if farewell is not None:
            self._send(farewell)
        self._close(code, refusal.error[:100])

    async def _serve(self, data: bytes) -> None:
        request_id: Any = None
        try:
            request = parse_object(data)
            request_id = request.get("id")
            answer = self._dialect.result(request_id, await self._call(request))
        except NotJson as error:
            answer = self._dialect.refusal(None, error)
        except HearthError as error:
            answer = self._dialect.refusal(request_id, as_told(error))
        finally:
            self._running -= 1
        self._send(answer)

    async def _call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        call = self._dialect.call(request)
        method = self._methods.get(call.method)
        if method is None:
            raise BadJson("Unknown method")
        return await method(self._who, str(request.get("id")), call.params)

    def _send(self, frame: bytes) -> None:
        if self._line is not None:
            self._line.send_text(frame)

    def _keep_alive(self) -> None:
        if self._line is None:
            return
        clock, every = self._services.clock, self._dialect.ping_every_s
        if clock.seconds() - self._last_pong > every + PONG_WITHIN_S:
            self._line.abort()
            return
        self._line.send_ping(b"alive")
        self._later("ping", every, self._keep_alive)

    def _later(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        self._timers[name] = self._services.clock.call_later(seconds, call)


def _id_of(data: bytes) -> Any:
    try:
        return parse_object(data).get("id")
    except MatrixError:
        return None
