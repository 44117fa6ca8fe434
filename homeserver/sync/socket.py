"""One WebSocket that follows: updates as `/sync` makes them, and requests that clients send over the same line.

The next update is composed only after the last one was handed to the socket, so whoever reads slowly gets fewer and
larger updates (or, in some dialects, is sent away), and nothing queues up; nor is anything read from a client that
does not read its answers. To-device messages are not taken for received because they were written: they are
acknowledged by the pong to a ping sent after them, or by the token that the client comes back with.
Spec: the draft `attic/drafts/websockets.rst` of the specification's repository, and what its implementations became.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred

from homeserver.errors import (
    AccountEnded,
    BadJson,
    HearthError,
    MatrixError,
    NotJson,
    UnknownToken,
    UserLocked,
)
from homeserver.events.filters import Filter
from homeserver.http.body import parse_object
from homeserver.http.refusals import as_told
from homeserver.http.requester import Requester
from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from homeserver.sync.answer import Answer
from homeserver.sync.clients import SyncClients
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
PINGS_REMEMBERED = 100
MAX_REQUESTS = 50
"""How many requests of one socket are worked on at once; more are refused."""

Method = Callable[[Requester, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Serves one method for a requester: the request's ID and its params in, the result out."""


OwnMethods = Callable[["SocketSession"], Mapping[str, Method]]


class Line(Protocol):
    """What a session needs of the WebSocket protocol."""

    def send_text(self, data: bytes) -> None: ...

    def send_ping(self, payload: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

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
        self._watch = services.clients.watch(who)
        self._stop_waiting: Callable[[], None] | None = None
        self._writable: Deferred[None] | None = None
        self._timers: dict[str, Timer] = {}
        self._last_pong = services.clock.seconds()
        self._told: OrderedDict[bytes, int] = OrderedDict()
        """The pings that were sent after messages, and up to where each tells that they have arrived."""
        self._resumed: StreamToken | None = None
        self._running = 0

    def opened(self, line: Line) -> None:
        """The handshake is done: the first update goes out even if it says nothing."""
        self._line = line
        self._watch.__enter__()
        self._last_pong = self._services.clock.seconds()
        self._later("ping", self._dialect.ping_every_s, self._keep_alive)
        self._services.tasks.spawn(f"socket of {self._who.user_id}", self._follow())

    def closing(self) -> None:
        """The last frame has been written: the client answers with a close of its own, or is cut off."""
        line = self._line
        if line is not None:
            self._later("ending", CLOSE_WITHIN_S, line.abort)
            self._leave()

    def closed(self) -> None:
        self._leave()
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()

    def _leave(self) -> None:
        """Nothing more is said, and nothing waited for."""
        line, self._line = self._line, None
        if line is None:
            return
        self._watch.__exit__()
        if self._writable is not None:
            # A client that did not read is heard once more, since it may be closing as well.
            line.resume_reading()
        self.writable()
        if self._stop_waiting is not None:
            self._stop_waiting()

    def stalled(self) -> None:
        """The client does not read: nothing more is composed or taken from it until it does."""
        if self._writable is None and self._line is not None:
            self._writable = Deferred()
            self._line.pause_reading()
            if self._dialect.stalled_s is not None:
                self._later("stalled", self._dialect.stalled_s, self._send_away)

    def writable(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None:
            timer = self._timers.pop("stalled", None)
            if timer is not None and timer.active():
                timer.cancel()
            if self._line is not None:
                self._line.resume_reading()
            waiting.callback(None)

    def ponged(self, payload: bytes) -> None:
        """The client is there, and has read what was sent before the ping."""
        self._last_pong = self._services.clock.seconds()
        position = self._told.get(payload)
        acknowledger = self._services.acknowledger
        if position is None or acknowledger is None:
            return
        while self._told and next(iter(self._told.values())) <= position:
            self._told.popitem(last=False)
        self._services.tasks.spawn(
            f"acknowledgement of {self._who.user_id}", acknowledger.acknowledge(self._who, position)
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
        self._request = msgspec.structs.replace(self._request, filter=wanted)

    async def _follow(self) -> None:
        """Update after update, until the line is gone."""
        polls = self._services.polls
        answer = self._first
        while self._line is not None:
            self._tell(answer)
            since = answer.token
            # The line may have gone while it was written to.
            if b'"to_device"' in answer.body and self._line is not None:
                self._ask_for_pong(self._line, since)
            if self._writable is not None:
                await self._writable
            if polls.is_stopping:
                self._close(CLOSE_GOING_AWAY, "the server is stopping")
                return
            if not self._is_open():
                return
            found = await self._next(polls, since)
            if isinstance(found, MatrixError):
                self._refuse(found)
                return
            answer = found

    def _is_open(self) -> bool:
        return self._line is not None

    def _ask_for_pong(self, line: Line, token: StreamToken) -> None:
        payload = str(token).encode()
        self._told[payload] = token.received
        while len(self._told) > PINGS_REMEMBERED:
            self._told.popitem(last=False)
        line.send_ping(payload)

    async def _next(self, polls: LongPolls, since: StreamToken) -> Answer | MatrixError:
        while True:
            since = self._place_to_go_on(since)
            wanted = msgspec.structs.replace(
                self._request, since=since, full_state=False, is_acknowledged=False
            )
            try:
                # The session may have ended while its client did not read.
                self._watch.check()
                self._services.clients.seen(wanted, self._set_presence)
                answer = await polls.poll(wanted, HEARTBEAT_MS, self._wait_with, self._watch)
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
        if self._line is not None:
            self._line.close(code, reason)

    def _send_away(self) -> None:
        """The client has not read for too long; it comes back with its token and misses nothing."""
        self._close(CLOSE_SLOW, "too slow")

    def _refuse(self, refusal: MatrixError) -> None:
        code = CLOSE_FAILED
        if isinstance(refusal, UserLocked | AccountEnded):
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
            self._watch.check()
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
        result = await method(self._who, str(request.get("id")), call.params)
        if call.method == "presence":
            # Being connected counts as this from now on.
            self._set_presence = str(call.params["presence"])
        return result

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
