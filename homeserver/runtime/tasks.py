"""Work that outlives its caller: every piece has a name, its failure is logged, and shutdown waits for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import structlog
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from homeserver.runtime.clock import Clock

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class TaskFailure(NamedTuple):
    """A task that ended with an exception."""

    name: str
    failure: Failure


class Tasks:
    """The tasks that run now, and those that have failed (tests fail on them)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[Deferred[Any], str] = {}
        self._idle: list[Deferred[None]] = []
        self.failures: list[TaskFailure] = []

    @property
    def running(self) -> list[str]:
        """The names of the tasks that have not ended, oldest first."""
        return list(self._running.values())

    def spawn(self, name: str, coro: Coroutine[Any, Any, T]) -> Deferred[T | None]:
        """Run `coro` until it ends; the Deferred has its result, or None once its failure is logged."""
        task: Deferred[T | None] = Deferred.fromCoroutine(coro)
        if not task.called or task.paused:
            self._running[task] = name
        task.addBoth(self._ended, task, name)
        return task

    async def drain(self, timeout_s: float) -> None:
        """Wait until every task has ended; those that have not after `timeout_s` are cancelled."""
        if not self._running:
            return
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        timer = self._clock.call_later(timeout_s, self._cancel_all)
        await idle
        if timer.active():
            timer.cancel()

    def _cancel_all(self) -> None:
        for task, name in list(self._running.items()):
            _log.info("cancelling a task that takes too long", task=name)
            task.cancel()
        if self._running:
            # They swallowed their cancellation. Whoever drains wants to go on all the same.
            _log.warning("tasks survive their cancellation", tasks=self.running)
            self._running.clear()
            self._wake()

    def _ended(self, result: Any, task: Deferred[Any], name: str) -> Any:
        self._running.pop(task, None)
        if not self._running:
            self._wake()
        if not isinstance(result, Failure):
            return result
        if not result.check(CancelledError):
            self.failures.append(TaskFailure(name, result))
            error = result.value
            _log.error("task failed", task=name, exc_info=(type(error), error, result.getTracebackObject()))
            # Keep what tests and operators need, not every frame that the failure has gone through.
            result.cleanFailure()
            del self.failures[:-_FAILURES_KEPT]
        return None

    def _wake(self) -> None:
        waiting, self._idle = self._idle, []
        for idle in waiting:
            idle.callback(None)


_FAILURES_KEPT = 100
