"""Taking turns: work on one key (a room, a server) happens one after the other, in the order of asking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """A lock for each key that somebody works on."""

    def __init__(self) -> None:
        self._locks: dict[K, DeferredLock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def of(self, key: K) -> AsyncIterator[None]:
        """Wait for one's turn; the next one's comes at the end of the block."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = DeferredLock()
        waiting: Deferred[DeferredLock] = lock.acquire()
        await waiting
        try:
            yield
        finally:
            lock.release()
            if not lock.locked and not lock.waiting:
                self._locks.pop(key, None)
