"""What counts requests: this process, or all of them together in Redis."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from config import Config
from homeserver.app.surroundings import SharedStore, Surroundings
from homeserver.http.rate_limit import MemoryRateLimiter, RateLimiter, SharedRateLimiter
from homeserver.runtime.clock import Clock

_THREADS = 4


def limiter_of(config: Config, surroundings: Surroundings) -> RateLimiter:
    """The limits that are configured."""
    rates = config.rate_limits.classes()
    others = config.rate_limits.rc_other if rates else None
    alone = MemoryRateLimiter(surroundings.clock, rates, others=others)
    if surroundings.shared is None:
        return alone
    return SharedRateLimiter(surroundings.shared, alone, rates, others)


def open_redis(config: Config, reactor: Any, clock: Clock) -> SharedStore:
    """The Redis that is configured, with threads of its own: hashing passwords must not hold up counting."""
    # Here, and not above: redis is an extra.
    from storage.redis_store import RedisStore  # an optional dependency

    pool = ThreadPool(0, _THREADS, name="redis")
    pool.start()
    reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
    run = partial(deferToThreadPool, reactor, pool)
    return RedisStore(config.redis, clock, run, prefix=f"hearth:{config.server.server_name}")
