"""A socket that was opened without a token: it waits, not for long, until the client says who it is.

Browsers cannot send a header with a WebSocket, and a token does not belong into a URL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from homeserver.errors import BadJson, HearthError, MissingToken, NotJson
from homeserver.http.body import parse_object
from homeserver.http.refusals import as_told
from homeserver.http.requester import Requester
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from homeserver.sync.dialect import Dialect
from homeserver.sync.socket import CLOSE_WITHIN_S, Line, SocketSession

WAIT_S = 10.0
CLOSE_NOBODY = 4001

Greet = Callable[[Mapping[str, Any]], Awaitable[tuple[Requester, SocketSession]]]
"""Knows whoever brings a token, and begins their session."""


class Door:
    """The life of such a socket until, and then as, its session."""

    def __init__(self, greet: Greet, dialect: Dialect, clock: Clock, tasks: Tasks) -> None:
        self._greet = greet
        self._dialect = dialect
        self._clock = clock
        self._tasks = tasks
        self._line: Line | None = None
        self._session: SocketSession | None = None
        self._timer: Timer | None = None
        self._is_asking = False

    def opened(self, line: Line) -> None:
        self._line = line
        self._timer = self._clock.call_later(WAIT_S, self._refuse, "no token came")

    def closing(self) -> None:
        line, self._line = self._line, None
        if self._session is not None:
            self._session.closing()
        elif line is not None:
            self._stop_timer()
            self._timer = self._clock.call_later(CLOSE_WITHIN_S, line.abort)

    def closed(self) -> None:
        self._line = None
        self._stop_timer()
        if self._session is not None:
            self._session.closed()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def stalled(self) -> None:
        if self._session is not None:
            self._session.stalled()

    def writable(self) -> None:
        if self._session is not None:
            self._session.writable()

    def ponged(self, payload: bytes) -> None:
        if self._session is not None:
            self._session.ponged(payload)

    def received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.received(data)
        elif not self._is_asking:
            self._is_asking = True
            self._tasks.spawn("who opens a socket", self._ask(data))

    async def _ask(self, data: bytes) -> None:
        request_id: Any = None
        try:
            request = parse_object(data)
            request_id = request.get("id")
            call = self._dialect.call(request)
            if call.method != "auth":
                raise MissingToken("the first frame must be auth, with a token")
            who, session = await self._greet(call.params)
        except HearthError as error:
            told = as_told(error)
            self._send(self._dialect.refusal(None if isinstance(error, NotJson) else request_id, told))
            if isinstance(error, BadJson | NotJson):
                self._is_asking = False
            else:
                self._refuse(told.error)
            return
        line = self._line
        if line is None:
            return
        self._stop_timer()
        known = {"user_id": who.user_id, "device_id": who.device_id}
        self._send(self._dialect.result(request_id, known))
        self._session = session
        session.opened(line)

    def _send(self, frame: bytes) -> None:
        if self._line is not None:
            self._line.send_text(frame)

    def _refuse(self, reason: str) -> None:
        if self._line is not None:
            self._line.close(CLOSE_NOBODY, reason[:100])
