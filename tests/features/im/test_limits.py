"""How often one may ask: by user and by address, counted by one process or by several together in Redis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from config.resources import RedisConfig
from homeserver.errors import LimitExceeded, RemoteError
from homeserver.http.rate_limit import MemoryRateLimiter, SharedRateLimiter
from homeserver.http.route_cache import RouteCache
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.tasks import Tasks
from storage.redis_store import RedisStore
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.fixtures.redis import RedisServer, redis_server
from tests.harness.configuration import PASSWORD
from tests.harness.fixtures import ServerFactory
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import Refused, refused
from tests.harness.server import Server

__all__ = ["redis_server"]


class Rate:
    def __init__(self, per_second: float, burst_count: int) -> None:
        self.per_second = per_second
        self.burst_count = burst_count


async def inline(fn: Callable[..., Any], *args: Any) -> Any:
    return fn(*args)


@pytest.fixture
def store(redis_server: RedisServer, clock: Clock, request: pytest.FixtureRequest) -> RedisStore:
    return RedisStore(RedisConfig(path=redis_server.path), clock, inline, prefix=request.node.name)


def shared_limiter(store: RedisStore, clock: Clock, **rates: Rate) -> SharedRateLimiter:
    return SharedRateLimiter(store, MemoryRateLimiter(clock, rates), rates, None)


async def passed(server: Server, times: int, call: Callable[[], Any]) -> int:
    """How many of so many calls were served."""
    served = 0
    for _ in range(times):
        try:
            await call()
        except Refused as refusal:
            assert (refusal.status, refusal.errcode) == (429, "M_LIMIT_EXCEEDED")
            assert refusal.body["retry_after_ms"] > 0
        else:
            served += 1
    return served


async def test_a_user_and_an_address_are_counted_apart(make_server: ServerFactory) -> None:
    rate = {"per_second": 0.01, "burst_count": 4}
    server = make_server(enable_rate_limits=True, rc_im=rate, rc_im_users_per_address=2)
    people = [ImUser(one) for one in await server.users("ann", "ben", "cat")]
    looks = [await passed(server, 6, partial(one.call, "GET", "/users/me")) for one in people]
    # Four for each user, and eight for all at this address.
    assert looks == [4, 4, 0]


async def test_logins_are_counted_by_address(make_server: ServerFactory) -> None:
    server = make_server(enable_rate_limits=True)
    await server.user("ann")

    async def tries() -> None:
        body = {"type": "password", "identifier": {"user": "ann"}, "password": PASSWORD}
        await im_call(server.client(), "POST", "/auth/login", body)

    assert await passed(server, 8, tries) == 5
    await server.passes(12)
    assert await passed(server, 2, tries) == 1


async def test_limits_and_capabilities_are_told(make_server: ServerFactory) -> None:
    server = make_server(enable_rate_limits=True)
    client = server.client()
    limits = {one["class"]: one for one in (await im_call(client, "GET", "/limits"))["items"]}
    assert (limits["im"]["per_second"], limits["im"]["burst"], limits["im"]["per"]) == (20.0, 100, "user")
    assert limits["im"]["per_address"] == {"per_second": 200.0, "burst": 1000}
    assert (limits["im_login"]["burst"], limits["im_login"]["per"]) == (5, "address")
    assert limits["friend_requests"]["burst"] == 30
    assert limits["email_code_per_day"]["burst"] == 10
    told = await im_call(client, "GET", "/capabilities")
    assert (told["registration"], told["login"]) == (True, ["password"])
    assert (await im_call(client, "GET", "/health"))["status"] == "ok"


async def test_a_server_without_limits_says_so(server: Server) -> None:
    assert await im_call(server.client(), "GET", "/limits") == {"items": []}


async def test_two_processes_count_together(store: RedisStore, clock: Clock) -> None:
    one, other = [shared_limiter(store, clock, im=Rate(0.001, 3)) for _ in range(2)]
    for limiter in (one, other, one):
        pending = limiter.check("im", "@ann:one.test")
        assert pending is not None
        await pending
    for limiter in (one, other):
        with pytest.raises(LimitExceeded) as refusal:
            await (limiter.check("im", "@ann:one.test") or inline(int))
        assert 990_000 < refusal.value.retry_after_ms <= 1_000_001
    await (other.check("im", "@ben:one.test") or inline(int))
    assert one.check("another", "@ann:one.test") is None


async def test_where_redis_is_away_each_process_counts_for_itself(clock: Clock, tmp_path: Any) -> None:
    away = RedisStore(RedisConfig(path=tmp_path / "none.sock"), clock, inline, prefix="x")
    with pytest.raises(RemoteError):
        await away.count("k", 1, 1)
    limiter = shared_limiter(away, clock, im=Rate(0.001, 2))
    for _ in range(2):
        await (limiter.check("im", "a") or inline(int))
    with pytest.raises(LimitExceeded):
        await (limiter.check("im", "a") or inline(int))


async def test_answers_are_shared_and_forgotten_in_redis(store: RedisStore, clock: Clock) -> None:
    notifier, made = Notifier(), []

    async def make() -> int:
        made.append(1)
        return len(made)

    def cache() -> RouteCache:
        return RouteCache(clock, notifier, Tasks(clock), ttl_ms=60_000, shared=store)

    one = cache()
    assert [await each.get("k", "t", make) for each in (one, cache(), cache())] == [b"1"] * 3
    one.forget({"t": 1})
    assert await cache().get("k", "t", make) == b"2"
    assert await store.lease("k", 1000) and not await store.lease("k", 1000)
    await store.release("k")
    assert await store.lease("k", 1000)


async def test_friend_requests_are_thirty_a_day(make_server: ServerFactory) -> None:
    server = make_server(enable_rate_limits=True, rc_friend_requests={"per_second": 0.001, "burst_count": 2})
    ann, ben = [ImUser(one) for one in await server.users("ann", "ben")]
    await ann.asks(ben)
    await ann.asks(ben)
    with refused("M_LIMIT_EXCEEDED", 429):
        await ann.asks(ben)


async def test_users_and_addresses_are_counted_in_redis(
    reactor: VirtualReactor, engine: Engine, store: RedisStore
) -> None:
    rate = {"per_second": 0.001, "burst_count": 3}
    server = Server(reactor, engine, enable_rate_limits=True, rc_im=rate, rc_im_users_per_address=1)
    server.shared = store
    await server.starts()
    ann, ben = [ImUser(one) for one in await server.users("ann", "ben")]
    assert await passed(server, 2, partial(ann.call, "GET", "/users/me")) == 2
    # One is left at this address, whosever it is.
    assert await passed(server, 3, partial(ben.call, "GET", "/users/me")) == 1
    await server.stops()
