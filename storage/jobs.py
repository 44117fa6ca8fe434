"""Background jobs: long work in bounded steps, each step's progress on disk, resumed after a restart.

A job is a row; what its kind means is registered by the service that owns it. A *query* is a step that only
uses the database: it commits together with its progress, so it happens exactly once. Any other step may
happen again if the process dies before its progress is saved, and must not mind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

SCHEDULED, DONE, FAILED, CANCELLED = "scheduled", "done", "failed", "cancelled"
MAX_FAILURES = 10
_FIRST_RETRY_MS = 5_000
_STEPS_AT_ONCE = 10
_DATABASE_RETRY_S = 5.0

Progress = dict[str, Any]


class BackgroundJob(NamedTuple):
    """A job as it stands: what was asked, how far it has come, and why it last failed."""

    name: str
    kind: str
    arguments: dict[str, Any]
    progress: Progress
    created_ms: int
    updated_ms: int
    not_before_ms: int
    state: str
    failures: int
    error: str | None


Query = Callable[[Transaction, BackgroundJob], Progress | None]
"""A step inside a transaction; it returns the progress after it, or None when the job is done."""
Step = Callable[[BackgroundJob], Awaitable[Progress | None]]
"""A step that does more than that."""

_SELECT = (
    "SELECT name, kind, arguments, progress, created_ms, updated_ms, not_before_ms, state, failures, error"
    " FROM background_jobs"
)


def _job(row: tuple[Any, ...]) -> BackgroundJob:
    name, kind, arguments, progress, *others = row
    return BackgroundJob(name, kind, msgspec.json.decode(arguments), msgspec.json.decode(progress), *others)


def find(txn: Transaction, name: str) -> BackgroundJob | None:
    row = txn.one(f"{_SELECT} WHERE name = ?", name)
    return None if row is None else _job(row)


def list_jobs(txn: Transaction, *, kind: str | None = None, state: str | None = None) -> list[BackgroundJob]:
    """The jobs of this kind and in this state (or of any), oldest first."""
    wanted = {"kind": kind, "state": state}
    given = {column: value for column, value in wanted.items() if value is not None}
    where = " WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
    return [_job(row) for row in txn.all(f"{_SELECT}{where} ORDER BY created_ms, name", *given.values())]


def cancel(txn: Transaction, name: str) -> bool:
    """Let a job rest after the step that may be running; whether there was one to cancel."""
    sql = "UPDATE background_jobs SET state = ? WHERE name = ? AND state = ?"
    return txn.execute(sql, CANCELLED, name, SCHEDULED) > 0


def forget_ended(txn: Transaction, before_ms: int) -> int:
    """Delete the jobs that ended before `before_ms`; how many there were."""
    return txn.execute(
        "DELETE FROM background_jobs WHERE state <> ? AND updated_ms < ?", SCHEDULED, before_ms
    )


class BackgroundJobs:
    """Runs the steps of scheduled jobs, one after the other, with a pause between rounds."""

    def __init__(self, db: Database, clock: Clock, tasks: Tasks, *, pause_s: float = 0.1) -> None:
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._pause_s = pause_s
        self._queries: dict[str, Query] = {}
        self._steps: dict[str, Step] = {}
        self._waiting: Deferred[None] | None = None
        self._is_running = False
        self._is_woken = False

    def register_query(self, kind: str, query: Query) -> None:
        """Jobs of this kind consist of transactions."""
        self._queries[kind] = query

    def register(self, kind: str, step: Step) -> None:
        """Jobs of this kind do more than query the database."""
        self._steps[kind] = step

    def schedule(
        self, txn: Transaction, name: str, kind: str, arguments: dict[str, Any], *, delay_ms: int = 0
    ) -> bool:
        """Begin a job when the transaction is committed; False if one of this name has not ended yet."""
        present = find(txn, name)
        if present is not None and present.state == SCHEDULED:
            return False
        now_ms = self._clock.now_ms()
        encoded = msgspec.json.encode(arguments)
        row = (name, kind, encoded, b"{}", now_ms, now_ms, now_ms + delay_ms, SCHEDULED, 0, None)
        txn.put("background_jobs", BackgroundJob._fields, row, ("name",))
        txn.after_commit(self._wake)
        return True

    def start(self) -> None:
        """Go on with what was scheduled, in this run of the server or in an earlier one."""
        self._is_running = True
        self._tasks.spawn("background jobs", self._run())

    def stop(self) -> None:
        """End after the step that is running."""
        self._is_running = False
        self._wake()

    async def _run(self) -> None:
        while self._is_running:
            try:
                await self._run_round()
            except DatabaseUnavailable as error:
                _log.warning("background jobs wait for the database", error=str(error))
                await self._clock.sleep(_DATABASE_RETRY_S)

    async def _run_round(self) -> None:
        self._is_woken = False
        now_ms = self._clock.now_ms()
        due, next_ms = await self._db.read(_due, now_ms, (*self._queries, *self._steps))
        for job in due:
            if self._is_running:
                await self._advance(job)
        if due:
            await self._clock.sleep(self._pause_s)
        elif self._is_running and not self._is_woken:
            await self._wait(None if next_ms is None else max(next_ms - now_ms, 1) / 1000)

    async def _advance(self, job: BackgroundJob) -> None:
        try:
            if job.kind in self._queries:
                await self._db.run(_run_query, job, self._queries[job.kind], self._clock.now_ms())
            else:
                progress = await self._steps[job.kind](job)
                await self._db.run(_save, job, progress, self._clock.now_ms())
        except (CancelledError, DatabaseUnavailable):
            raise
        except Exception as error:  # noqa: BLE001  # it is kept with the job, and tried again
            # A bug, or another server that is away: the job tries again later and less and less often.
            _log.exception("a step of a background job failed", job=job.name, kind=job.kind)
            await self._db.run(_save_failure, job, repr(error), self._clock.now_ms())

    async def _wait(self, seconds: float | None) -> None:
        self._waiting = Deferred()
        timer = None if seconds is None else self._clock.call_later(seconds, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer is not None and timer.active():
                timer.cancel()

    def _wake(self) -> None:
        self._is_woken = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


def _due(txn: Transaction, now_ms: int, kinds: tuple[str, ...]) -> tuple[list[BackgroundJob], int | None]:
    """Some of the jobs whose time has come, and when the next one's will."""
    if not kinds:
        return [], None
    where = f" WHERE state = ? AND kind IN ({', '.join('?' * len(kinds))})"
    rows = txn.all(
        f"{_SELECT}{where} ORDER BY not_before_ms, name LIMIT ?", SCHEDULED, *kinds, _STEPS_AT_ONCE
    )
    jobs = [_job(row) for row in rows]
    due = [job for job in jobs if job.not_before_ms <= now_ms]
    return due, min((job.not_before_ms for job in jobs if job.not_before_ms > now_ms), default=None)


def _run_query(txn: Transaction, job: BackgroundJob, query: Query, now_ms: int) -> None:
    present = find(txn, job.name)
    if present is not None and present.state == SCHEDULED:
        _save(txn, present, query(txn, present), now_ms)


def _save(txn: Transaction, job: BackgroundJob, progress: Progress | None, now_ms: int) -> None:
    """Note how far the job has come; one that was cancelled meanwhile stays so."""
    txn.execute(
        "UPDATE background_jobs SET progress = ?, updated_ms = ?, not_before_ms = ?, failures = 0,"
        " error = NULL, state = CASE WHEN state = ? THEN ? ELSE state END WHERE name = ?",
        msgspec.json.encode(job.progress if progress is None else progress),
        now_ms,
        # To the end of the queue: every job gets its turn.
        now_ms,
        SCHEDULED,
        DONE if progress is None else SCHEDULED,
        job.name,
    )


def _save_failure(txn: Transaction, job: BackgroundJob, error: str, now_ms: int) -> None:
    failures = job.failures + 1
    txn.execute(
        "UPDATE background_jobs SET updated_ms = ?, not_before_ms = ?, failures = ?, error = ?, state = ?"
        " WHERE name = ? AND state = ?",
        now_ms,
        now_ms + _FIRST_RETRY_MS * 2**job.failures,
        failures,
        error,
        FAILED if failures >= MAX_FAILURES else SCHEDULED,
        job.name,
        SCHEDULED,
    )
