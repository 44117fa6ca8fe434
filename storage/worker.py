"""Where the database's blocking work is done: on threads, or in tests and simulation on the reactor's own.

Either way `done` is called on the reactor thread, later, with what `work` returned; `work` must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from homeserver.runtime.clock import Clock

T = TypeVar("T")
_Work = tuple[Callable[[], Any], Callable[[Any], None]]


class Worker(Protocol):
    """One writer, and some readers."""

    def write(self, work: Callable[[], T], done: Callable[[T], None]) -> None: ...

    def read(self, work: Callable[[], T], done: Callable[[T], None]) -> None: ...

    def stop(self) -> None:
        """End the threads, once they have done what was asked of them."""


class ThreadWorker:
    """The real one. `call_from_thread` is the reactor's."""

    def __init__(self, call_from_thread: Callable[..., None], *, readers: int = 2) -> None:
        self._call_from_thread = call_from_thread
        self._writes: SimpleQueue[_Work | None] = SimpleQueue()
        self._reads: SimpleQueue[_Work | None] = SimpleQueue()
        self._reader_limit = readers
        self._idle_readers = 0
        self._waiting_reads = 0
        self._threads: list[Thread] = []
        self._readers: list[Thread] = []
        self._has_writer = False

    def write(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        if not self._has_writer:
            self._has_writer = True
            self._start("database writer", self._writes)
        self._writes.put((work, done))

    def read(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        if len(self._readers) < self._reader_limit and len(self._readers) <= self._waiting_reads:
            self._readers.append(self._start(f"database reader {len(self._readers)}", self._reads))
        self._waiting_reads += 1

        def finished(outcome: T) -> None:
            self._waiting_reads -= 1
            done(outcome)

        self._reads.put((work, finished))

    def stop(self) -> None:
        if self._has_writer:
            self._writes.put(None)
        for _ in self._readers:
            self._reads.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self, name: str, queue: SimpleQueue[_Work | None]) -> Thread:
        thread = Thread(target=self._serve, args=(queue,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _serve(self, queue: SimpleQueue[_Work | None]) -> None:
        while (item := queue.get()) is not None:
            work, done = item
            self._call_from_thread(done, work())


class InlineWorker:
    """Does the work on the reactor thread at the clock's next turn: the same order every time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def write(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        self._clock.call_later(0, self._do, work, done)

    read = write

    def stop(self) -> None:
        """Nothing runs on its own here."""

    @staticmethod
    def _do(work: Callable[[], T], done: Callable[[T], None]) -> None:
        done(work())
