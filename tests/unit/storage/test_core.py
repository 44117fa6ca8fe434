"""The log, its followers, interned names, and how SQLite is set."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind, Notifier
from storage import followers, log
from storage.database import Database
from storage.interning import Names
from storage.sqlite import MEMORY, SqliteConnection
from storage.transaction import Transaction
from tests.fixtures.databases import memory_database
from tests.fixtures.reactor import VirtualReactor


def _fill(txn: Transaction, count: int) -> None:
    for number in range(1, count + 1):
        txn.log(LogKind.TO_DEVICE, user_id="@alice:here" if number % 2 else None, ref=str(number))


async def test_the_log_is_read_in_portions(database: Database) -> None:
    await database.run(_fill, 5)
    entries = await database.read(log.entries_after, 2, 2)
    assert [(entry.position, entry.user_id, entry.ref) for entry in entries] == [
        (3, "@alice:here", "3"),
        (4, None, "4"),
    ]
    assert await database.read(log.last_position) == 5


async def test_pruning_keeps_the_end(database: Database) -> None:
    assert await database.run(log.prune, 10, 10) == 0
    await database.run(_fill, 5)
    assert await database.run(log.prune, 4, 2) == 2
    assert await database.run(log.prune, 4, 10) == 1
    assert await database.run(log.prune, 100, 100) == 1
    assert [entry.position for entry in await database.read(log.entries_after, 0, 10)] == [5]


async def test_followers_have_places(database: Database) -> None:
    assert await database.read(followers.load_place, "push") == 0
    assert await database.read(followers.slowest_place) is None
    await database.run(followers.save_place, "push", 7)
    await database.run(followers.save_place, "sender", 5)
    assert await database.read(followers.load_place, "push") == 7
    assert await database.read(followers.slowest_place) == 5
    await database.run(followers.forget, "sender")
    assert await database.read(followers.slowest_place) == 7


def test_only_so_many_names_are_kept() -> None:
    names = Names(limit=4)
    for nid in range(1, 6):
        names.add(f"@user{nid}:here", nid)
    assert list(names.numbers.values()) == [3, 4, 5]
    assert names.values == {3: "@user3:here", 4: "@user4:here", 5: "@user5:here"}


def test_a_commit_on_sqlite_is_durable(tmp_path: Path) -> None:
    connection = SqliteConnection(str(tmp_path / "a.db"))
    assert connection.query("PRAGMA synchronous", ()) == [(2,)]
    assert connection.query("PRAGMA journal_mode", ()) == [("wal",)]
    connection.close()
    # The mode of the file stays for whoever opens it next.
    assert sqlite3.connect(tmp_path / "a.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_in_memory(clock: Clock, reactor: VirtualReactor) -> None:
    one, other = memory_database(clock, Notifier()), memory_database(clock, Notifier())
    reactor.drive(one.run(_fill, 3))
    assert reactor.drive(one.read(log.last_position)) == 3
    assert reactor.drive(other.read(log.last_position)) == 0
    reactor.drive(one.close())
    reactor.drive(other.close())
    assert MEMORY == ":memory:"
