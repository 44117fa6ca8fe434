"""One SQL text means the same to both databases."""

from __future__ import annotations

from typing import Any, cast

import pytest

from storage.connection import Row, split_statements
from storage.database import Database
from storage.errors import ConstraintViolated, StorageError
from storage.transaction import Transaction

TABLES = (
    "CREATE TABLE things (thing BIGINT PRIMARY KEY, name TEXT UNIQUE, data BLOB, flag BOOLEAN, number INT)",
    "CREATE TABLE pairs (a TEXT NOT NULL, b BIGINT NOT NULL, c REAL, PRIMARY KEY (a, b)) WITHOUT ROWID",
)
COLUMNS = ("name", "data", "flag", "number")


@pytest.fixture
def things(database: Database, reactor: Any) -> Database:
    def create(txn: Transaction) -> None:
        for table in TABLES:
            # What a migration goes through, for a table of the test's own.
            database.writer.run_script(table)

    reactor.drive(database.run(create))
    return database


@pytest.mark.parametrize(
    "row",
    [
        ("plain", b"bytes", 1, 2),
        ("it's 100% \\ ? %s", b"\x00'\\\xff", 0, -1),
        ("🜂 ünïcode", b"", 1, 2**63 - 1),
        (None, None, None, None),
    ],
)
async def test_values_come_back_as_they_went(things: Database, row: tuple[Any, ...]) -> None:
    def write_and_read(txn: Transaction) -> list[Any]:
        txn.execute("INSERT INTO things (name, data, flag, number) VALUES (?, ?, ?, ?)", *row)
        return txn.all("SELECT name, data, flag, number FROM things")

    def insert(txn: Transaction) -> None:
        txn.execute("DELETE FROM things")
        txn.insert("things", COLUMNS, row)

    assert await things.run(write_and_read) == [row]
    await things.run(insert)
    (again,) = await things.read(lambda txn: txn.all("SELECT name, data, flag, number FROM things"))
    assert again == row
    assert [type(value) for value in again] == [type(value) for value in row]


async def test_truth_is_a_number(things: Database) -> None:
    await things.run(lambda txn: txn.insert("things", COLUMNS, ("a", None, True, 1)))
    assert await things.read(lambda txn: txn.value("SELECT flag FROM things WHERE flag = ?", True)) == 1
    assert await things.read(lambda txn: txn.value("SELECT 1 FROM things WHERE flag = 1")) == 1


async def test_rows_are_numbered_when_nobody_numbers_them(things: Database) -> None:
    def add(txn: Transaction, name: str) -> int:
        number: int = txn.value("INSERT INTO things (name) VALUES (?) RETURNING thing", name)
        return number

    first, second = await things.run(add, "a"), await things.run(add, "b")
    assert second > first


async def test_text_sorts_by_its_bytes(things: Database) -> None:
    def add(txn: Transaction) -> None:
        for name in ("b", "A", "a", "B", "é", "_"):
            txn.insert("things", ("name",), (name,))

    await things.run(add)
    rows = await things.read(lambda txn: txn.all("SELECT name FROM things ORDER BY name"))
    assert [name for (name,) in rows] == ["A", "B", "_", "a", "b", "é"]


async def test_like_minds_the_case(things: Database) -> None:
    await things.run(lambda txn: txn.insert("things", ("name",), ("Alice",)))
    assert await things.read(lambda txn: txn.one("SELECT 1 FROM things WHERE name LIKE 'ali%'")) is None
    assert await things.read(lambda txn: txn.one("SELECT 1 FROM things WHERE name LIKE ?", "Ali%")) == (1,)
    assert await things.read(lambda txn: txn.one("SELECT 1 FROM things WHERE name LIKE 'Ali%'")) == (1,)


async def test_sums_and_averages_are_numbers(things: Database) -> None:
    def add(txn: Transaction) -> None:
        txn.many("INSERT INTO pairs (a, b, c) VALUES (?, ?, ?)", [("x", 1, 1.5), ("x", 2, 2.5)])

    await things.run(add)
    row = await things.read(lambda txn: txn.one("SELECT SUM(b), COUNT(*), MAX(c) FROM pairs"))
    assert row == (3, 2, 2.5)
    assert [type(value) for value in cast(Row, row)] == [int, int, float]


async def test_how_many_rows_were_touched(things: Database) -> None:
    def count(txn: Transaction) -> tuple[int, int]:
        txn.many("INSERT INTO pairs (a, b) VALUES (?, ?)", [("x", 1), ("x", 2), ("y", 1)])
        return (
            txn.execute("UPDATE pairs SET c = 1.0 WHERE a = ?", "x"),
            txn.execute("INSERT INTO pairs (a, b) VALUES (?, ?) ON CONFLICT (a, b) DO NOTHING", "y", 1),
        )

    assert await things.run(count) == (2, 0)


async def test_constraints(things: Database) -> None:
    await things.run(lambda txn: txn.insert("things", ("name",), ("taken",)))
    with pytest.raises(ConstraintViolated):
        await things.run(lambda txn: txn.execute("INSERT INTO things (name) VALUES ('taken')"))
    with pytest.raises(StorageError):
        await things.read(lambda txn: txn.all("SELECT nonsense FROM things"))


async def test_a_put_with_nothing_but_its_key(things: Database) -> None:
    def put(txn: Transaction) -> None:
        for _ in range(2):
            txn.put("pairs", ("a", "b"), ("x", 1), ("a", "b"))

    await things.run(put)
    await things.run(put)
    assert await things.read(lambda txn: txn.value("SELECT COUNT(*) FROM pairs")) == 1


async def test_many_rows_at_once(things: Database) -> None:
    def put(txn: Transaction) -> None:
        for number in range(1500):
            txn.put("pairs", ("a", "b", "c"), ("x", number, 0.5), ("a", "b"))

    await things.run(put)
    assert await things.read(lambda txn: txn.value("SELECT COUNT(*) FROM pairs")) == 1500


def test_scripts_are_split_at_semicolons_that_end_statements() -> None:
    script = """
    -- A comment; with a semicolon and a quote: it's.
    CREATE TABLE a (b TEXT DEFAULT ';'); -- more; here
    INSERT INTO a VALUES ('--; ''x''');;
    """
    assert split_statements(script) == [
        "CREATE TABLE a (b TEXT DEFAULT ';')",
        "INSERT INTO a VALUES ('--; ''x''')",
    ]
