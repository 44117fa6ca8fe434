"""Group commit (DESIGN idea 3): all jobs that wait are run in one transaction and share one durable commit.

Jobs first run optimistically, one after the other without savepoints. One that fails while its rows still
wait in memory is undone there; when more than that has gone wrong, everything is rolled back and each job
runs again inside a savepoint of its own, so a job may run more than once and only its last run counts. On the
reactor thread, in this order: callbacks, announcement, answers. Nothing is announced or answered before it is
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, Notifier
from storage.connection import Connection
from storage.errors import DatabaseClosed, DatabaseUnavailable, PositionsMoved
from storage.interning import Names
from storage.log import entries_after
from storage.transaction import Callback, Transaction, WriteTransaction
from storage.worker import Worker

_log = structlog.get_logger(__name__)

MAX_JOBS = 1000
"""Jobs that may share a commit: more would make the first of them wait too long."""
_MOVES = 5
_MISSED = 1000


class Job:
    """A function that waits for its turn in the transaction, and then its outcome."""

    __slots__ = ("args", "deferred", "error", "fn", "kwargs", "result")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.deferred: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: BaseException | None = None


class Outcome(NamedTuple):
    """What a batch leaves to do on the reactor thread."""

    entries: Sequence[LogEntry]
    callbacks: Sequence[Callback]


class GroupCommit:
    """The queue of jobs, and the one connection that writes."""

    def __init__(
        self, connection: Connection, names: Names, clock: Clock, notifier: Notifier, worker: Worker
    ) -> None:
        self._connection = connection
        self._names = names
        self._clock = clock
        self._notifier = notifier
        self._worker = worker
        self._queue: list[Job] = []
        self._batch: list[Job] = []
        self._is_due = False
        self._idle: list[Deferred[None]] = []
        self._is_closed = False
        # Of the writer's thread only: what was committed without our knowing, and up to where all is told.
        self._missed: list[LogEntry] = []
        self._told = connection.last_position
        self._losses = connection.losses

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred[Any]:
        """Queue a job; the Deferred fires when it is on disk."""
        job = Job(fn, args, kwargs)
        if self._is_closed:
            job.deferred.errback(DatabaseClosed("the database is closed"))
            return job.deferred
        self._queue.append(job)
        if not self._batch and not self._is_due:
            # Not at once: whatever else this turn of the reactor brings can still share the commit.
            self._is_due = True
            self._clock.call_later(0, self._start)
        return job.deferred

    async def close(self) -> None:
        """Take no more jobs, and wait for those that were taken."""
        self._is_closed = True
        if self._queue or self._batch:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _start(self) -> None:
        self._is_due = False
        queue = self._queue
        if len(queue) <= MAX_JOBS:
            self._batch, self._queue = queue, []
        else:
            self._batch, self._queue = queue[:MAX_JOBS], queue[MAX_JOBS:]
        self._worker.write(self._commit, self._committed)

    # On the reactor thread, after the commit.

    def _committed(self, outcome: Outcome) -> None:
        batch = self._batch
        for fn, args, kwargs in outcome.callbacks:
            try:
                fn(*args, **kwargs)
            except Exception:  # noqa: BLE001  # the commit stands, and the other jobs are blameless
                _log.exception(
                    "a callback after a commit failed", callback=getattr(fn, "__qualname__", repr(fn))
                )
        if outcome.entries:
            self._notifier.announce(outcome.entries)
        for job in batch:
            if job.error is None:
                job.deferred.callback(job.result)
            else:
                job.deferred.errback(Failure(job.error))
        self._batch = []
        if self._queue:
            self._start()
        else:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    # On the writer's thread.

    def _commit(self) -> Outcome:
        jobs = self._batch
        try:
            for _ in range(_MOVES):
                try:
                    self._find_missed()
                    txn = self._run_together(jobs) or self._run_apart(jobs)
                except PositionsMoved:
                    self._connection.rollback()
                    continue
                self._told = self._connection.last_position
                entries, self._missed = [*self._missed, *txn.entries], []
                return Outcome(entries, txn.callbacks)
            raise DatabaseUnavailable("others keep writing to the log between our look at it and our commit")
        except BaseException as error:  # noqa: BLE001  # every job must be answered
            self._roll_back_all(jobs, error)
        return Outcome((), ())

    def _run_together(self, jobs: list[Job]) -> WriteTransaction | None:
        """The optimistic way; None, with everything rolled back, if it was too optimistic."""
        connection = self._connection
        txn = WriteTransaction(connection, self._names)
        try:
            for job in jobs:
                try:
                    job.error = None
                    job.result = job.fn(txn, *job.args, **job.kwargs)
                except Exception as error:
                    if not txn.undo():
                        raise
                    job.error = error
                else:
                    txn.keep()
            txn.flush()
            connection.commit()
        except (DatabaseUnavailable, PositionsMoved):
            raise
        except Exception:  # noqa: BLE001  # whose it was comes out when each job runs by itself
            connection.rollback()
            return None
        txn.publish_names()
        return txn

    def _run_apart(self, jobs: list[Job]) -> WriteTransaction:
        """Each job in a savepoint of its own."""
        connection = self._connection
        txn = WriteTransaction(connection, self._names)
        for job in jobs:
            job.error = None
            connection.savepoint()
            try:
                job.result = job.fn(txn, *job.args, **job.kwargs)
                txn.flush()
                connection.release()
            except (DatabaseUnavailable, PositionsMoved):
                raise
            except Exception as error:  # noqa: BLE001  # whoever asked for the job is told
                connection.rollback_to_savepoint()
                txn.undone()
                job.error = error
            else:
                txn.keep()
        connection.commit()
        txn.publish_names()
        return txn

    def _roll_back_all(self, jobs: list[Job], error: BaseException) -> None:
        for job in jobs:
            job.error = error
        try:
            self._connection.rollback()
        except Exception:  # noqa: BLE001  # the first error is the one to tell
            _log.exception("rolling back failed")

    def _find_missed(self) -> None:
        """Look for entries nobody was told of: a connection may be lost before it confirms its commit."""
        connection = self._connection
        if connection.losses == self._losses:
            return
        losses = connection.losses
        connection.load_position()
        txn = Transaction(connection, self._names)
        while entries := entries_after(txn, self._told, _MISSED):
            self._missed.extend(entries)
            self._told = entries[-1].position
        connection.rollback()
        self._losses = losses
