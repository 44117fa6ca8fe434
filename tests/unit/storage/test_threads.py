"""The same database with real threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import followers, log
from storage.database import Database
from storage.transaction import Transaction
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import CountedThreadWorker, VirtualReactor


@pytest.fixture
def threaded(engine: Engine, reactor: VirtualReactor, clock: Clock, notifier: Notifier) -> Iterator[Database]:
    db = engine.open(clock, notifier, CountedThreadWorker(reactor))
    yield db
    reactor.drive(db.close())


def _say(txn: Transaction, ref: str) -> str:
    txn.log(LogKind.EVENT, ref=ref)
    return threading.current_thread().name


async def test_work_is_done_elsewhere_and_told_here(threaded: Database, notifier: Notifier) -> None:
    heard_on: set[str] = set()
    heard: list[LogEntry] = []

    def listen(entries: object) -> None:
        heard_on.add(threading.current_thread().name)

    notifier.subscribe(listen)
    notifier.subscribe(heard.extend)
    done_on = await gatherResults([threaded.run(_say, str(number)) for number in range(50)])
    assert heard_on == {threading.current_thread().name}
    assert set(done_on) == {"database writer"}
    assert [entry.ref for entry in heard] == [str(number) for number in range(50)]


async def test_jobs_that_come_during_a_commit_share_the_next(threaded: Database, notifier: Notifier) -> None:
    batches: list[int] = []
    notifier.subscribe(lambda entries: batches.append(len(entries)))

    def first(txn: Transaction) -> None:
        txn.log(LogKind.EVENT, ref="first")
        started.set()
        may_end.wait(10)

    started, may_end = threading.Event(), threading.Event()
    jobs: list[Deferred[Any]] = [threaded.run(first)]
    # A read takes its turn of the reactor, in which the first batch begins.
    await threaded.read(log.last_position)
    started.wait(10)
    jobs.extend(threaded.run(_say, str(number)) for number in range(5))
    may_end.set()
    await gatherResults(jobs)
    assert batches == [1, 5]


async def test_a_read_is_one_snapshot(threaded: Database) -> None:
    looked, written = threading.Event(), threading.Event()

    def look_twice(txn: Transaction) -> tuple[int, int]:
        before = followers.load_place(txn, "f")
        if txn.value("SELECT 1 FROM counters WHERE name = 'log'"):
            looked.set()
            written.wait(10)
        return before, followers.load_place(txn, "f")

    await threaded.run(followers.save_place, "f", 1)
    reading = threaded.read(look_twice)
    looked.wait(10)
    await threaded.run(followers.save_place, "f", 2)
    written.set()
    assert await reading == (1, 1)
    assert await threaded.read(look_twice) == (2, 2)


async def test_closing_waits_for_what_was_begun(threaded: Database) -> None:
    reading = threaded.read(log.last_position)
    writing = threaded.run(_say, "a")
    await threaded.close()
    assert (reading.called, writing.called) == (True, True)
