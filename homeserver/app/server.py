"""A whole homeserver, built of its parts around a clock, a database and a configuration.

`python -m homeserver.app` builds it on the reactor and real threads; tests build several in one process, over
databases in memory and a virtual clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config import Config
from homeserver.app.client_api import client_handlers
from homeserver.app.federation import Federation, Outside
from homeserver.app.limits import limiter_of
from homeserver.app.operations import health_handlers, metrics_handlers
from homeserver.app.services import Services
from homeserver.app.surroundings import SharedStore, Surroundings
from homeserver.app.unreachable import Unreachable
from homeserver.events.signatures import SigningKey
from homeserver.http.endpoint import Auth
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.router import Router
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.passwords import Executor
from homeserver.version import VERSION
from storage.database import Database

DRAIN_S = 10.0

# Synapse's groups of endpoints that include others; whether a server lives is told everywhere.
IMPLIED = {
    "client": frozenset({"client", "media", "im", "admin", "static", "consent"}),
    "federation": frozenset({"federation", "keys", "media", "openid"}),
}
EVERYWHERE = frozenset({"health"})


class Homeserver:
    """A server that is ready to be listened to: `router` answers whatever transport brings."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        services: Services,
        federation: Federation,
        handlers: dict[str, list[object]],
        limiter: RateLimiter,
    ) -> None:
        self.config = config
        self.surroundings = surroundings
        self.services = services
        self.federation = federation
        self._sender = federation.make_sender(services.rooms.rooms)
        services.federation.tell(self._sender)
        self._handlers = handlers
        self._authenticators = {
            **services.authenticators(),
            Auth.FEDERATION: federation.authenticator.authenticate,
        }
        self._limiter = limiter
        self.router = self.router_of(frozenset())

    def router_of(self, families: frozenset[str]) -> Router:
        """A router of some families of endpoints (`client`, `federation`...); of all, if none is named."""
        wanted = EVERYWHERE.union(families, *(IMPLIED.get(name, ()) for name in families))
        groups = [group for name, group in self._handlers.items() if not families or name in wanted]
        chosen = [one for group in groups for one in group]
        return Router(chosen, self._authenticators, self._limiter)

    async def start(self) -> None:
        """Begin what runs by itself."""
        await self.federation.backoff.load()
        await self.services.start()
        await self._sender.start()

    def begin_stopping(self) -> None:
        """Let those who wait for news go, with what there is."""
        self.services.begin_stopping()

    async def stop(self) -> None:
        """Finish what is in flight and let go of the database. Nobody listens any more by now."""
        self.services.federation.stop()
        await self._sender.stop()
        await self.services.stop()
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
    outside: Outside | None = None,
    network: Any = None,
    shared: SharedStore | None = None,
) -> Homeserver:
    """The server that the configuration describes.

    `notifier` is the one that the database announces to; `outside` the way to other servers, if there is one,
    and `network` the reactor to reach everybody else with; `shared` is what processes share beside the database.
    """
    surroundings = Surroundings(
        clock=clock,
        notifier=notifier,
        tasks=tasks,
        randomness=randomness,
        executor=executor,
        metrics=metrics or Metrics(),
        database=database,
        network=network,
        shared=shared,
    )
    limiter = limiter_of(config, surroundings)
    nowhere = Unreachable()
    federation = Federation(
        config, surroundings, signing_keys, outside or Outside(nowhere, nowhere), version=VERSION
    )
    services = await Services.build(config, surroundings, limiter, signing_keys, federation)
    handlers: dict[str, list[object]] = {
        "client": [*client_handlers(config), *services.client_handlers()],
        "media": services.media.handlers(),
        "im": services.im_handlers() if config.im.enabled else [],
        "federation": services.federation.handlers(),
        "keys": [federation.key_endpoints],
        "health": health_handlers(),
        "metrics": metrics_handlers(config, surroundings.metrics),
    }
    return Homeserver(config, surroundings, services, federation, handlers, limiter)
