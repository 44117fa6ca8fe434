"""What only PostgreSQL can do to us: go away, and be written to by somebody else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from storage import followers, log
from storage.errors import DatabaseUnavailable, StorageError
from storage.opening import open_postgres
from storage.postgres import PostgresConnection, dialect, translate
from storage.transaction import Slot, Transaction
from storage.worker import InlineWorker
from tests.fixtures.databases import PostgresEngine, PostgresServer
from tests.fixtures.reactor import VirtualReactor


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresEngine]:
    lent = postgres_server.lend()
    yield lent
    postgres_server.take_back(lent)


def _say(txn: Transaction, ref: str) -> Slot:
    return txn.log(LogKind.EVENT, room_id="!r:here", ref=ref)


def _cut_connections(dsn: str) -> None:
    """End every session of this database but our own."""
    connection = psycopg2.connect(dsn)
    connection.cursor().execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connection.close()


async def test_a_lost_connection_fails_its_batch_and_is_made_again(
    postgres: PostgresEngine, clock: Clock, notifier: Notifier
) -> None:
    heard: list[LogEntry] = []
    notifier.subscribe(heard.extend)
    db = postgres.open(clock, notifier, InlineWorker(clock))
    await db.run(_say, "a")
    _cut_connections(postgres.dsn)
    first, second = db.run(_say, "b"), db.run(_say, "c")
    for lost in (first, second):
        with pytest.raises(DatabaseUnavailable, match="PostgreSQL went away"):
            await lost
    assert (await db.run(_say, "d")).position == 2
    assert [entry.ref for entry in heard] == ["a", "d"]
    assert [entry.ref for entry in await db.read(log.entries_after, 0, 10)] == ["a", "d"]
    await db.close()


async def test_reading_again_needs_nobodys_attention(
    postgres: PostgresEngine, clock: Clock, notifier: Notifier
) -> None:
    db = postgres.open(clock, notifier, InlineWorker(clock))
    assert await db.read(log.last_position) == 0
    _cut_connections(postgres.dsn)
    assert await db.read(log.last_position) == 0
    assert await db.read(lambda txn: (log.last_position(txn), followers.slowest_place(txn))) == (0, None)
    _cut_connections(postgres.dsn)
    assert await db.read(lambda txn: (log.last_position(txn), followers.slowest_place(txn))) == (0, None)
    await db.close()


class _ConfirmationLost(PostgresConnection):
    """Loses the connection after one commit, before it hears of it."""

    loses_next_commit = False

    def commit(self) -> None:
        super().commit()
        if self.loses_next_commit:
            self.loses_next_commit = False
            self.lose()
            raise DatabaseUnavailable("PostgreSQL went away")


async def test_a_commit_that_was_not_confirmed_is_announced_later(
    postgres: PostgresEngine, clock: Clock, notifier: Notifier
) -> None:
    heard: list[LogEntry] = []
    notifier.subscribe(heard.extend)
    db = open_postgres({"dsn": postgres.dsn}, clock, notifier, InlineWorker(clock), connect=_ConfirmationLost)
    writer = db.writer
    assert isinstance(writer, _ConfirmationLost)
    await db.run(_say, "a")
    writer.loses_next_commit = True
    with pytest.raises(DatabaseUnavailable):
        await db.run(_say, "b")
    assert [entry.ref for entry in heard] == ["a"]
    await db.run(_say, "c")
    assert [(entry.position, entry.ref) for entry in heard] == [(1, "a"), (2, "b"), (3, "c")]
    await db.close()


async def test_a_server_that_is_not_there(clock: Clock, notifier: Notifier) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        open_postgres({"host": "/nonexistent"}, clock, notifier, InlineWorker(clock))


async def test_two_processes_never_share_a_position(postgres: PostgresEngine, clock: Clock) -> None:
    one = postgres.open(clock, Notifier(), InlineWorker(clock))
    other = postgres.open(clock, Notifier(), InlineWorker(clock))
    positions = []
    for number in range(6):
        positions.append((await (one, other)[number % 2].run(_say, str(number))).position)
    assert positions == [1, 2, 3, 4, 5, 6]
    nids = {await each.run(lambda txn: txn.intern("@new:here")) for each in (one, other)}
    assert len(nids) == 1
    await one.close()
    await other.close()


async def test_a_refused_batch_leaves_the_counter_alone(
    postgres: PostgresEngine, clock: Clock, notifier: Notifier, reactor: VirtualReactor
) -> None:
    db = postgres.open(clock, notifier, InlineWorker(clock))

    def fail(txn: Transaction) -> None:
        _say(txn, "never")
        txn.execute("INSERT INTO nowhere (a) VALUES (?)", 1)

    with pytest.raises(StorageError, match="nowhere"):
        await db.run(fail)
    assert (await db.run(_say, "a")).position == 1
    assert await db.read(lambda txn: txn.value("SELECT value FROM counters WHERE name = 'log'")) == 1
    await db.close()


def test_placeholders_are_translated_outside_of_literals() -> None:
    assert translate("SELECT '?', a FROM b WHERE c LIKE '%?''?' AND d = ?") == (
        "SELECT '?', a FROM b WHERE c LIKE '%%?''?' AND d = %s"
    )


def test_the_schema_in_postgresql_s_words() -> None:
    script = (
        "CREATE TABLE a (b BIGINT PRIMARY KEY, c BLOB, d TEXT NOT NULL, e INTEGER) WITHOUT ROWID; -- INTEGER"
    )
    assert dialect(script) == (
        "CREATE TABLE a (b BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, c BYTEA,"
        ' d TEXT COLLATE "C" NOT NULL, e BIGINT)'
    )
