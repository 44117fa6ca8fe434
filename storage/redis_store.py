"""What processes share in Redis: counts of requests and remembered answers. It needs the extra `redis`.

Nothing here is a truth: a Redis that is away, or empty, costs nothing but its help. Calls block, as the library does,
and are made on threads; after a failure Redis is left alone for a moment, so that its absence does not slow everybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis

from config.resources import RedisConfig
from homeserver.errors import RemoteError
from homeserver.runtime.clock import Clock

T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]
"""Runs `fn(*args)` where it may block, and gives its result."""

TIMEOUT_S = 0.5
LEFT_ALONE_S = 5.0

# A generic cell rate algorithm over Redis' own clock, in microseconds: one number a key, the time at which its bucket
# is full again, forgotten when that time has come. The answer is how long to wait, or 0 if the request was counted.
_COUNT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0)
if full_at < now then full_at = now end
full_at = full_at + tonumber(ARGV[1])
local wait = full_at - now - tonumber(ARGV[2])
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return 0
"""


class RedisStore:
    """One Redis; keys of a server begin with `prefix`."""

    def __init__(self, config: RedisConfig, clock: Clock, run: Run, *, prefix: str) -> None:
        where: dict[str, Any] = (
            {"unix_socket_path": str(config.path)}
            if config.path is not None
            else {"host": config.host, "port": config.port, "ssl": config.use_tls}
        )
        self._client = redis.Redis(
            db=config.dbid,
            username=config.username,
            password=config.password,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            **where,
        )
        self._count = self._client.register_script(_COUNT)
        self._clock = clock
        self._run = run
        self._prefix = prefix
        self._away_until = 0.0

    async def count(self, key: str, interval_us: int, capacity_us: int) -> int:
        """Count a request that costs `interval_us` of a bucket of `capacity_us`; how long to wait, in microseconds, if
        there is no room for it.

        Raises:
            RemoteError: Redis does not answer.
        """
        wait = await self._ask(self._count, [self._key("rate", key)], [interval_us, capacity_us])
        return int(wait)

    async def find(self, tag: str, key: str) -> bytes | None:
        """What is remembered.

        Raises:
            RemoteError: Redis does not answer.
        """
        found = await self._ask(self._find, self._key("cache", tag), key)
        return found if isinstance(found, bytes) else None

    async def put(self, tag: str, key: str, value: bytes, ttl_ms: int) -> None:
        """Remember something until its tag is forgotten, at the longest for `ttl_ms` from the last.

        Raises:
            RemoteError: Redis does not answer.
        """
        await self._ask(self._put, self._key("cache", tag), key, value, ttl_ms)

    async def forget(self, tags: Sequence[str]) -> None:
        """Forget all that is remembered under some tags.

        Raises:
            RemoteError: Redis does not answer.
        """
        await self._ask(self._client.delete, *(self._key("cache", tag) for tag in tags))

    async def lease(self, key: str, ttl_ms: int) -> bool:
        """Whether nobody else does this just now; then nobody will for `ttl_ms`, or until it is released.

        Raises:
            RemoteError: Redis does not answer.
        """
        return bool(await self._ask(self._lease, self._key("lease", key), ttl_ms))

    async def release(self, key: str) -> None:
        """Let others do it.

        Raises:
            RemoteError: Redis does not answer.
        """
        await self._ask(self._client.delete, self._key("lease", key))

    def _find(self, name: str, key: str) -> Any:
        return self._client.hget(name, key)

    def _put(self, name: str, key: str, value: bytes, ttl_ms: int) -> None:
        pipe = self._client.pipeline()
        pipe.hset(name, key, value)
        pipe.pexpire(name, ttl_ms)
        pipe.execute()

    def _lease(self, name: str, ttl_ms: int) -> Any:
        return self._client.set(name, b"1", px=ttl_ms, nx=True)

    def _key(self, kind: str, key: str) -> str:
        return f"{self._prefix}:{kind}:{key}"

    async def _ask(self, fn: Callable[..., T], *args: Any) -> T:
        if self._clock.seconds() < self._away_until:
            raise RemoteError("Redis was away a moment ago")
        try:
            answer: T = await self._run(fn, *args)
        except (redis.RedisError, OSError) as error:
            self._away_until = self._clock.seconds() + LEFT_ALONE_S
            raise RemoteError(f"Redis: {error}") from None
        return answer
