"""CPU-bound work beside the reactor, where that helps: Ed25519 lets go of the interpreter while it verifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Offload(Protocol):
    """Runs a function somewhere and gives its result."""

    async def run(self, work: Callable[[], T]) -> T: ...


class Inline:
    """Runs it here and now: for tests, and for simulation."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


class Threads:
    """Runs it on a pool of threads."""

    def __init__(self, reactor: Any, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool

    async def run(self, work: Callable[[], T]) -> T:
        result: T = await deferToThreadPool(self._reactor, self._pool, work)
        return result
