"""Group commit: one transaction for all, and one's failure is nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList

from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import followers, log
from storage.database import Database
from storage.errors import ConstraintViolated, DatabaseClosed, ReadOnly
from storage.transaction import Slot, Transaction


def say(txn: Transaction, ref: str) -> Slot:
    return txn.log(LogKind.EVENT, room_id="!room:here", user_id="@alice:here", ref=ref, payload=ref.upper())


def refuse(txn: Transaction) -> None:
    say(txn, "never")
    txn.insert("followers", ("name", "position"), ("never", 1))
    raise ValueError("no")


def refuse_after_writing(txn: Transaction) -> None:
    txn.execute("INSERT INTO followers (name, position) VALUES ('never', 1)")
    say(txn, "never")
    raise ValueError("no")


def break_a_constraint(txn: Transaction) -> None:
    say(txn, "never")
    txn.insert("followers", ("name", "position"), ("taken", 2))


def take(txn: Transaction, name: str) -> None:
    txn.insert("followers", ("name", "position"), (name, 1))


@pytest.fixture
def announced(notifier: Notifier) -> list[LogEntry]:
    heard: list[LogEntry] = []
    notifier.subscribe(heard.extend)
    return heard


async def test_a_batch_is_announced_once_and_in_order(database: Database, notifier: Notifier) -> None:
    batches: list[list[str]] = []
    notifier.subscribe(lambda entries: batches.append([entry.ref for entry in entries]))
    slots = await DeferredList([database.run(say, ref) for ref in ("a", "b", "c")])
    assert batches == [["a", "b", "c"]]
    assert [slot.position for _, slot in slots] == [1, 2, 3]
    assert notifier.position == 3


async def test_the_log_has_what_was_announced(database: Database, announced: list[LogEntry]) -> None:
    await database.run(say, "a")
    await database.run(say, "b")
    assert [entry.payload for entry in announced] == ["A", "B"]
    stored = await database.read(log.entries_after, 0, 10)
    assert stored == [
        LogEntry(1, LogKind.EVENT, "!room:here", "@alice:here", "a"),
        LogEntry(2, LogKind.EVENT, "!room:here", "@alice:here", "b"),
    ]


@pytest.mark.parametrize("failing", [refuse, refuse_after_writing, break_a_constraint])
async def test_one_failure_spoils_nothing_else(
    database: Database, announced: list[LogEntry], failing: Callable[[Transaction], None]
) -> None:
    await database.run(take, "taken")
    jobs: list[Deferred[Any]] = [
        database.run(say, "a"),
        database.run(failing),
        database.run(say, "b"),
        database.run(followers.save_place, "mine", 7),
    ]
    outcomes: list[Any] = await DeferredList(jobs, consumeErrors=True)
    (_, first), (failed_well, failure), (_, second), _ = outcomes
    assert (first.position, second.position) == (1, 2)
    assert not failed_well
    assert failure.check(ValueError, ConstraintViolated)
    assert [entry.ref for entry in announced] == ["a", "b"]
    assert await database.read(followers.load_place, "mine") == 7
    assert await database.read(followers.load_place, "never") == 0
    assert [entry.ref for entry in await database.read(log.entries_after, 0, 10)] == ["a", "b"]


async def test_a_slot_stands_for_its_position_in_any_row(database: Database) -> None:
    def save(txn: Transaction) -> None:
        say(txn, "before")
        txn.put("followers", ("name", "position"), ("place", say(txn, "here")), ("name",))

    await database.run(save)
    assert await database.read(followers.load_place, "place") == 2


async def test_the_last_put_wins(database: Database) -> None:
    await DeferredList([database.run(followers.save_place, "f", position) for position in (5, 6, 4)])
    assert await database.read(followers.load_place, "f") == 4


async def test_a_job_sees_what_it_and_those_before_it_have_buffered(database: Database) -> None:
    def look(txn: Transaction) -> tuple[int, int]:
        txn.put("followers", ("name", "position"), ("b", 2), ("name",))
        return followers.load_place(txn, "a"), followers.load_place(txn, "b")

    first = database.run(followers.save_place, "a", 1)
    assert await database.run(look) == (1, 2)
    await first


async def test_positions_go_on_after_a_job_that_looked_at_the_log(database: Database) -> None:
    def look(txn: Transaction) -> list[LogEntry]:
        say(txn, "b")
        return log.entries_after(txn, 0, 10)

    first = database.run(say, "a")
    seen = database.run(look)
    last = database.run(say, "c")
    assert [(entry.position, entry.ref) for entry in await seen] == [(1, "a"), (2, "b")]
    assert ((await first).position, (await last).position) == (1, 3)
    assert (await database.run(say, "d")).position == 4


async def test_callbacks_come_before_the_announcement_and_the_answer_last(
    database: Database, notifier: Notifier
) -> None:
    order: list[str] = []

    def job(txn: Transaction) -> None:
        say(txn, "a")
        txn.after_commit(order.append, "callback")

    notifier.subscribe(lambda _: order.append("announced"))
    await database.run(job)
    order.append("answered")
    assert order == ["callback", "announced", "answered"]


async def test_a_failed_job_has_no_callbacks(database: Database) -> None:
    called: list[str] = []

    def job(txn: Transaction) -> None:
        txn.after_commit(called.append, "callback")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.run(job)
    assert called == []


async def test_names_of_a_failed_batch_are_forgotten(database: Database) -> None:
    def add(txn: Transaction) -> int:
        nid = txn.intern("@new:here")
        txn.execute("INSERT INTO followers (name, position) VALUES ('x', NULL)")
        return nid

    with pytest.raises(ConstraintViolated):
        await database.run(add)
    assert await database.read(lambda txn: txn.find_interned("@new:here")) is None
    nid = await database.run(lambda txn: txn.intern("@new:here"))
    assert await database.run(lambda txn: txn.intern("@new:here")) == nid
    assert await database.read(lambda txn: txn.interned(nid)) == "@new:here"


async def test_readers_do_not_write(database: Database) -> None:
    with pytest.raises(ReadOnly):
        await database.read(lambda txn: txn.intern("@new:here"))
    with pytest.raises(ReadOnly):
        await database.read(followers.save_place, "f", 1)


async def test_a_closed_database_refuses(database: Database) -> None:
    last = database.run(say, "a")
    closing = database.close()
    await closing
    assert (await last).position == 1
    with pytest.raises(DatabaseClosed):
        await database.run(say, "b")
    with pytest.raises(DatabaseClosed):
        await database.read(log.last_position)
