"""What counts requests: this process, or all of them together in Redis."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from config import Config
from config.rate_limits import FederationRates
from homeserver.app.surroundings import SharedStore, Surroundings
from homeserver.http.patience import Patience, PatientLimiter
from homeserver.http.rate_limit import MemoryRateLimiter, RateLimiter, SharedRateLimiter
from homeserver.runtime.clock import Clock

_THREADS = 4


def limiter_of(config: Config, surroundings: Surroundings) -> RateLimiter:
    """The limits that are configured."""
    rates = config.rate_limits.classes()
    others = config.rate_limits.rc_other if rates else None
    alone = MemoryRateLimiter(surroundings.clock, rates, others=others)
    limiter: RateLimiter = alone
    if surroundings.shared is not None:
        limiter = SharedRateLimiter(surroundings.shared, alone, rates, others)
    if not rates:
        return limiter
    patience = _patience_of(config.rate_limits.rc_federation)
    return PatientLimiter(surroundings.clock, {"federation": patience}, limiter)


def _patience_of(rates: FederationRates) -> Patience:
    """How patient we are with each other server."""
    return Patience(
        window_s=rates.window_size / 1000,
        served=rates.sleep_limit,
        delay_s=rates.sleep_delay / 1000,
        waiting=rates.reject_limit,
    )


def open_redis(config: Config, reactor: Any, clock: Clock) -> SharedStore:
    """The Redis that is configured, with threads of its own: hashing passwords must not hold up counting."""
    # Here, and not above: redis is an extra.
    from storage.redis_store import RedisStore  # an optional dependency

    pool = ThreadPool(0, _THREADS, name="redis")
    pool.start()
    reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
    run = partial(deferToThreadPool, reactor, pool)
    return RedisStore(config.redis, clock, run, prefix=f"hearth:{config.server.server_name}")
