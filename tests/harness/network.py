"""A network in memory: servers reach one another as over TLS, but with no sockets and in virtual time.

What travels are the very bytes of HTTP; a link may be cut, slow or lossy.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed

from federation.outbound.transport import RemoteRequest
from homeserver.errors import RemoteError
from homeserver.http.gate.exchange import NoAnswer
from homeserver.http.gate.reading import Answer, AnswerTooLarge
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from tests.harness.wire import Connection, Door, format_request

LATENCY_S = 0.01

Fault = Callable[[ServerName, RemoteRequest], float]
"""How long (s) a request takes to arrive, or its answer to come back; negative if it is lost."""


Impostor = Callable[[ServerName, RemoteRequest], Coroutine[Any, Any, Answer]]
"""Answers requests in the name of a server, as it likes."""


class Network:
    """Knows every server's door."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._doors: dict[str, Door] = {}
        self._impostors: dict[str, Impostor] = {}
        self._cuts: set[frozenset[str]] = set()
        self.fault: Fault | None = None
        self.requests: list[tuple[str, RemoteRequest]] = []

    def plug_in(self, name: str, door: Door) -> None:
        self._doors[name] = door

    def pretend(self, name: str, impostor: Impostor) -> None:
        """Have something else than a whole server answer for a name."""
        self._impostors[name] = impostor

    def unplug(self, name: str) -> None:
        self._doors.pop(name, None)

    def cut(self, one: str, other: str) -> None:
        """The two cannot reach each other."""
        self._cuts.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """The two can reach each other again."""
        self._cuts.discard(frozenset((one, other)))

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        self._cuts.clear()
        self.fault = None

    def way_out(self, name: str) -> NetworkTransport:
        """The transport of one server."""
        return NetworkTransport(self, ServerName(name))

    async def carry(self, origin: ServerName, request: RemoteRequest) -> Answer:
        """Bring a request to its server, and the answer back."""
        self.requests.append((origin, request))
        await self._travel(origin, request)
        impostor = self._impostors.get(request.destination)
        if impostor is not None:
            return await self._ask(impostor, origin, request)
        door = self._doors.get(request.destination)
        if door is None:
            raise NoAnswer(f"{request.destination} does not answer")
        headers = dict(request.headers)
        message = format_request(request.method, request.uri, headers, request.body or b"")
        try:
            answer = await self._within(request.timeout_ms / 1000, Connection(door, "10.9.0.1"), message)
        except (ConnectionError, ConnectionClosed) as error:
            raise NoAnswer(f"{request.destination} hung up") from error
        watch = getattr(door, "watch", None)
        if watch is not None:
            # What servers say to one another is held against the specification as well.
            watch.saw(request.method, request.uri, request.body or b"", answer)
        await self._travel(origin, request)
        if len(answer.body) > request.max_bytes:
            raise AnswerTooLarge(request.max_bytes)
        if request.open_sink is None or answer.status != 200:
            return Answer(answer.status, answer.headers, answer.body)
        sink = request.open_sink(Answer(answer.status, answer.headers))
        sink(answer.body)
        return Answer(answer.status, answer.headers)

    async def _ask(self, impostor: Impostor, origin: ServerName, request: RemoteRequest) -> Answer:
        """What an impostor says, if it says anything in time and no more than may be read."""
        answering = Deferred.fromCoroutine(impostor(origin, request))
        timer = self._clock.call_later(request.timeout_ms / 1000, answering.cancel)
        try:
            answer = await answering
        except CancelledError as error:
            raise NoAnswer(f"{request.destination} takes too long") from error
        finally:
            if timer.active():
                timer.cancel()
        if len(answer.body) > request.max_bytes:
            raise AnswerTooLarge(request.max_bytes)
        return answer

    async def _within(self, timeout_s: float, connection: Connection, message: bytes) -> Any:
        """The answer, unless that takes too long: a server that dies answers nobody."""
        timer = self._clock.call_later(timeout_s, connection.hang_up)
        try:
            return await connection.send(message)
        finally:
            if timer.active():
                timer.cancel()

    async def _travel(self, origin: ServerName, request: RemoteRequest) -> None:
        delay_s = LATENCY_S if self.fault is None else self.fault(origin, request)
        if frozenset((origin, request.destination)) in self._cuts or delay_s < 0:
            await self._clock.sleep(request.timeout_ms / 1000)
            raise NoAnswer(f"{request.destination} does not answer {origin}")
        await self._clock.sleep(delay_s)


class NetworkTransport:
    """The way out of one server."""

    def __init__(self, network: Network, name: ServerName) -> None:
        self._network = network
        self._name = name

    async def request(self, request: RemoteRequest) -> Answer:
        return await self._network.carry(self._name, request)

    async def fetch(self, method: str, url: str, **_options: Any) -> Answer:
        raise RemoteError(f"{url} is not on this network")
