"""Answers that many ask for, remembered: in memory, behind it perhaps in Redis, and made once at a time.

Only what is the same for everybody of an audience is remembered; the key is the method, the full path with its query,
and the audience. Each answer has a tag, what it is about; when the log says that it has changed, all under the tag is
forgotten, here and in Redis, by every process that hears of it. A time to live is the backstop.

Whoever misses while an answer is being made waits for it (in this process in a list, among processes by a lease), so
that however many ask at once, the database is asked once. What is made while its tag is forgotten answers those who
wait, and is not remembered; what Redis has from before is not taken.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.errors import RemoteError
from homeserver.http.request import Request
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, Notifier
from homeserver.runtime.tasks import Tasks

Load = Callable[[], Awaitable[Any]]
TagsOf = Callable[[LogEntry], Sequence[str]]
"""The tags of what a log entry changes."""

EVERYBODY = "everybody"
"""The audience of what does not depend on who looks."""

MAX_BYTES = 8 * 1024 * 1024
MAX_FORGOTTEN = 20_000
LEASE_MS = 2_000
LOOK_AGAIN_S = 0.02


class SharedAnswers(Protocol):
    """Answers that several processes share. Every method raises `RemoteError` where nobody answers."""

    async def find(self, tag: str, key: str) -> bytes | None: ...

    async def put(self, tag: str, key: str, value: bytes, ttl_ms: int) -> None: ...

    async def forget(self, tags: Sequence[str]) -> None: ...

    async def lease(self, key: str, ttl_ms: int) -> bool: ...

    async def release(self, key: str) -> None: ...


class Stored(msgspec.Struct, array_like=True):
    """An answer as Redis has it: the place in the log at which it was made, until when it is good, and its JSON."""

    position: int
    until_ms: int
    body: msgspec.Raw


class _Known(NamedTuple):
    until_ms: int
    tag: str
    body: bytes


class RouteCache:
    """Remembers answers as JSON."""

    def __init__(
        self,
        clock: Clock,
        notifier: Notifier,
        tasks: Tasks,
        *,
        ttl_ms: int,
        shared: SharedAnswers | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._notifier = notifier
        self._tasks = tasks
        self._ttl_ms = ttl_ms
        self._shared = shared
        self._max_bytes = max_bytes
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._keys_of: dict[str, set[str]] = {}
        self._bytes = 0
        self._waiting: dict[str, list[Deferred[bytes]]] = {}
        # Where in the log what was last forgotten: an answer made before that is out of date.
        self._forgotten: OrderedDict[str, int] = OrderedDict()

    def follow(self, tags_of: TagsOf) -> None:
        """Forget what log entries change."""

        def committed(entries: Sequence[LogEntry]) -> None:
            changed = {tag: entry.position for entry in entries for tag in tags_of(entry)}
            if changed:
                self.forget(changed)

        self._notifier.subscribe(committed)

    async def answer(self, request: Request, audience: str, tag: str, load: Load) -> Any:
        """The answer to a request, remembered or made by `load`. It must not depend on more than the audience."""
        key = f"{request.method} {request.path}?{_query_of(request)} {audience}"
        return msgspec.json.decode(await self.get(key, tag, load))

    async def get(self, key: str, tag: str, load: Load) -> bytes:
        """The answer under a key, as JSON."""
        known = self._known.get(key)
        if known is not None and known.until_ms > self._clock.now_ms():
            self._known.move_to_end(key)
            return known.body
        waiting = self._waiting.get(key)
        if waiting is not None:
            turn: Deferred[bytes] = Deferred()
            waiting.append(turn)
            return await turn
        self._waiting[key] = []
        try:
            body = await self._fetch(key, tag, load)
        except Exception:
            failure = Failure()
            for turn in self._waiting.pop(key):
                turn.errback(failure)
            raise
        for turn in self._waiting.pop(key):
            turn.callback(body)
        return body

    def forget(self, changed: Mapping[str, int]) -> None:
        """What is about these tags has changed, each at a place in the log."""
        for tag, position in changed.items():
            self._forgotten[tag] = position
            self._forgotten.move_to_end(tag)
            for key in tuple(self._keys_of.get(tag, ())):
                self._drop(key)
        while len(self._forgotten) > MAX_FORGOTTEN:
            self._forgotten.popitem(last=False)
        if self._shared is not None:
            self._tasks.spawn("forget shared answers", _regardless(self._shared.forget(tuple(changed))))

    async def _fetch(self, key: str, tag: str, load: Load) -> bytes:
        shared = self._shared
        if shared is None:
            return await self._make(key, tag, load)
        try:
            found = await self._find_shared(shared, key, tag)
            if found is not None:
                return found
            has_lease = await shared.lease(key, LEASE_MS)
            patience = LEASE_MS / 1000
            while not has_lease and patience > 0:
                await self._clock.sleep(LOOK_AGAIN_S)
                patience -= LOOK_AGAIN_S
                found = await self._find_shared(shared, key, tag)
                if found is not None:
                    return found
        except RemoteError:
            return await self._make(key, tag, load)
        try:
            return await self._make(key, tag, load)
        finally:
            if has_lease:
                await _regardless(shared.release(key))

    async def _make(self, key: str, tag: str, load: Load) -> bytes:
        position = self._notifier.position
        body = msgspec.json.encode(await load())
        if self._forgotten.get(tag, -1) > position:
            return body
        until_ms = self._clock.now_ms() + self._ttl_ms
        self._remember(key, _Known(until_ms, tag, body))
        if self._shared is not None:
            stored = msgspec.json.encode(Stored(position, until_ms, msgspec.Raw(body)))
            await _regardless(self._shared.put(tag, key, stored, self._ttl_ms))
        return body

    async def _find_shared(self, shared: SharedAnswers, key: str, tag: str) -> bytes | None:
        value = await shared.find(tag, key)
        if value is None:
            return None
        stored = msgspec.json.decode(value, type=Stored)
        if stored.until_ms <= self._clock.now_ms() or stored.position < self._forgotten.get(tag, -1):
            return None
        body = bytes(stored.body)
        self._remember(key, _Known(stored.until_ms, tag, body))
        return body

    def _remember(self, key: str, known: _Known) -> None:
        self._drop(key)
        self._known[key] = known
        self._keys_of.setdefault(known.tag, set()).add(key)
        self._bytes += len(key) + len(known.body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._known)))

    def _drop(self, key: str) -> None:
        known = self._known.pop(key, None)
        if known is None:
            return
        self._bytes -= len(key) + len(known.body)
        keys = self._keys_of[known.tag]
        keys.discard(key)
        if not keys:
            del self._keys_of[known.tag]


async def _regardless(asked: Awaitable[None]) -> None:
    """Where Redis is away, its time to live does the rest."""
    try:
        await asked
    except RemoteError:
        return


def _query_of(request: Request) -> str:
    """The query without an access token: it says who asks, and is a secret."""
    return "&".join(pair for pair in request.query_string.split("&") if not pair.startswith("access_token="))
