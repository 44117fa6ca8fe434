"""A process that may die at any moment: its timers end with it, and nothing that it had begun goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from federation.outbound.transport import RemoteRequest
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from tests.fixtures.reactor import VirtualReactor
from tests.harness.network import NetworkTransport


class Life:
    """The reactor of one incarnation of a server."""

    def __init__(self, reactor: VirtualReactor) -> None:
        self._reactor = reactor
        self._timers: set[Any] = set()
        self.is_over = False
        self.seconds = reactor.seconds

    def callLater(self, delay_s: float, fn: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        timer: Any = None

        def fire() -> None:
            self._timers.discard(timer)
            if not self.is_over:
                fn(*args, **kwargs)

        timer = self._reactor.callLater(delay_s, fire)
        if self.is_over:
            timer.cancel()
        else:
            self._timers.add(timer)
        return timer

    def callFromThread(self, fn: Callable[..., object], *args: Any) -> None:  # noqa: N802  # Twisted's name
        self._reactor.callFromThread(fn, *args)

    def end(self) -> None:
        """Die."""
        self.is_over = True
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()


class MortalTransport:
    """The way out of one incarnation: answers that come after its death reach nobody."""

    def __init__(self, transport: NetworkTransport, life: Life) -> None:
        self._transport = transport
        self._life = life

    async def request(self, request: RemoteRequest) -> Answer:
        await self._still_alive()
        try:
            return await self._transport.request(request)
        finally:
            await self._still_alive()

    async def fetch(self, method: str, url: str, **_options: Any) -> Answer:
        raise RemoteError(f"{url} is not on this network")

    async def _still_alive(self) -> None:
        if self._life.is_over:
            await Deferred()
