"""The door to everything durable: `run` writes in the group commit, `read` reads a snapshot."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage.connection import Connection
from storage.errors import DatabaseClosed, DatabaseUnavailable, NeedsSnapshot
from storage.group_commit import GroupCommit
from storage.interning import Names
from storage.transaction import Transaction
from storage.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """One writing connection, and as many reading ones as the worker has readers.

    Args:
        writer: the connection that writes; the schema is in place.
        open_reader: makes a connection for reading; `writer` itself if the worker never reads while it writes.
    """

    def __init__(
        self,
        writer: Connection,
        open_reader: Callable[[], Connection],
        *,
        clock: Clock,
        notifier: Notifier,
        worker: Worker,
    ) -> None:
        self.writer = writer
        self._open_reader = open_reader
        self._worker = worker
        self._names = Names()
        self._group = GroupCommit(writer, self._names, clock, notifier, worker)
        self._readers: deque[Connection] = deque()
        self._several: set[CodeType | None] = {None}
        self._reading = 0
        self._idle: list[Deferred[None]] = []
        self._is_closed = False

    def run(
        self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run `fn(txn, ...)` in the next group commit; what it returned comes back once it is on disk.

        `fn` runs on the writer's thread, and again if the batch must be repeated: it may touch nothing but
        `txn` and its arguments. What must happen in memory belongs into `txn.after_commit`.

        Raises:
            Exception: whatever `fn` raised; nothing that it did is kept.
            DatabaseUnavailable: the database went away; whether `fn` was committed is unknown.
        """
        return self._group.run(fn, args, kwargs)

    def read(
        self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run `fn(txn, ...)` over a snapshot of everything that is committed, beside the writer."""
        deferred: Deferred[T] = Deferred()
        if self._is_closed:
            deferred.errback(DatabaseClosed("the database is closed"))
            return deferred
        self._reading += 1

        def work() -> tuple[Any, BaseException | None]:
            return self._read(fn, args, kwargs)

        def done(outcome: tuple[Any, BaseException | None]) -> None:
            self._reading -= 1
            result, error = outcome
            if error is None:
                deferred.callback(result)
            else:
                deferred.errback(Failure(error))
            if not self._reading:
                self._wake()

        self._worker.read(work, done)
        return deferred

    async def close(self) -> None:
        """Take no more work, finish what was taken and let go of the database."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._group.close()
        if self._reading:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        self._worker.stop()
        for reader in self._readers:
            if reader is not self.writer:
                reader.close()
        self.writer.close()

    def _read(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, BaseException | None]:
        """On a reader's thread: the result, or what was raised."""
        reader: Connection | None = None
        try:
            reader = self._take_reader()
            return self._read_with(reader, fn, args, kwargs), None
        except BaseException as error:  # noqa: BLE001  # whoever asked is told
            return None, error
        finally:
            if reader is not None:
                self._readers.append(reader)

    def _read_with(
        self, reader: Connection, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        code = getattr(fn, "__code__", None)
        losses = reader.losses
        while True:
            reader.begin_reading(one_statement=code not in self._several)
            try:
                return fn(Transaction(reader, self._names), *args, **kwargs)
            except NeedsSnapshot:
                # Most reads have one statement and need no transaction around it; this one does.
                self._several.add(code)
            except DatabaseUnavailable:
                # A connection that idled while the server was restarted; reading again does no harm.
                if reader.losses != losses + 1:
                    raise
            finally:
                reader.rollback()

    def _take_reader(self) -> Connection:
        try:
            return self._readers.pop()
        except IndexError:
            return self._open_reader()

    def _wake(self) -> None:
        idle, self._idle = self._idle, []
        for waiting in idle:
            waiting.callback(None)
