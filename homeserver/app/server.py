"""A whole homeserver, built of its parts around a clock, a database and a configuration.

`python -m homeserver.app` builds it on the reactor and real threads; tests build several in one process, over
databases in memory and a virtual clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from config import Config
from homeserver.app.client_api import client_handlers
from homeserver.app.operations import health_handlers, metrics_handlers
from homeserver.app.surroundings import Surroundings
from homeserver.events.signatures import SigningKey
from homeserver.http.endpoint import Auth, declarations
from homeserver.http.rate_limit import MemoryRateLimiter, RateLimiter
from homeserver.http.router import Authenticator, Router
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.passwords import Executor
from storage.database import Database

DRAIN_S = 10.0


class Homeserver:
    """A server that is ready to be listened to: `router` answers whatever transport brings."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        handlers: dict[str, list[object]],
        authenticators: dict[Auth, Authenticator],
        limiter: RateLimiter,
    ) -> None:
        self.config = config
        self.surroundings = surroundings
        self._handlers = handlers
        self._authenticators = authenticators
        self._limiter = limiter
        self.router = self.router_of(frozenset())

    def router_of(self, families: frozenset[str]) -> Router:
        """A router of some families of endpoints (`client`, `federation`...); of all, if none is named."""
        chosen = [
            one for name, group in self._handlers.items() if not families or name in families for one in group
        ]
        return Router(chosen, self._authenticators, self._limiter)

    async def start(self) -> None:
        """Begin what runs by itself."""

    def begin_stopping(self) -> None:
        """Let those who wait for news go, with what there is."""

    async def stop(self) -> None:
        """Finish what is in flight and let go of the database. Nobody listens any more by now."""
        await self.surroundings.tasks.drain(DRAIN_S)
        await self.surroundings.database.close()


async def build_homeserver(
    config: Config,
    *,
    database: Database,
    clock: Clock,
    notifier: Notifier,
    tasks: Tasks,
    randomness: Randomness,
    executor: Executor,
    signing_keys: Sequence[SigningKey],
    metrics: Metrics | None = None,
) -> Homeserver:
    """The server that the configuration describes; `notifier` is the one that the database announces to."""
    surroundings = Surroundings(
        clock=clock,
        notifier=notifier,
        tasks=tasks,
        randomness=randomness,
        executor=executor,
        metrics=metrics or Metrics(),
        database=database,
    )
    handlers = {
        "client": client_handlers(config),
        "health": health_handlers(),
        "metrics": metrics_handlers(config, surroundings.metrics),
    }
    limiter = limiter_of(config, clock, handlers)
    return Homeserver(config, surroundings, handlers, {}, limiter)


def limiter_of(config: Config, clock: Clock, handlers: dict[str, list[object]]) -> RateLimiter:
    """The rate limits of every class of requests that an endpoint names."""
    names = {
        declaration.rate_limit.name
        for group in handlers.values()
        for one in group
        for declaration, _ in declarations(one)
        if declaration.rate_limit is not None
    }
    rates = config.rate_limits.rates_of(names)
    return MemoryRateLimiter(clock, rates)
