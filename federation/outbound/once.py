"""Work that several ask for at once and that is done once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Once(Generic[K, T]):
    """At most one run for each key at a time; whoever asks meanwhile waits for it and gets the same result.

    A waiter that is cancelled leaves the run, and the others, alone.
    """

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[T]]] = {}

    async def run(self, key: K, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the run for `key`, begun now unless there is one."""
        mine: Deferred[T] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(mine)
            return await mine
        self._waiting[key] = [mine]
        Deferred.fromCoroutine(make()).addBoth(self._finished, key)
        return await mine

    def _finished(self, result: T | Failure, key: K) -> None:
        for waiter in self._waiting.pop(key):
            # Those who were cancelled have fired already.
            if not waiter.called:
                waiter.callback(result)
