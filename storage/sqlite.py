"""The embedded engine: SQLite in WAL mode, durable at every commit.

One connection writes, others read snapshots. Only this process writes, so log positions are counted in
memory.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.connection import LOG_COLUMNS, Row, split_statements, upsert_clause
from storage.errors import ConstraintViolated, DatabaseUnavailable, StorageError

MEMORY = ":memory:"
_BUSY_TIMEOUT_MS = 30_000
_CACHED_STATEMENTS = 512


class SqliteConnection:
    """A connection to the file at `path`; `":memory:"` is a database that nobody else sees."""

    def __init__(self, path: str, *, read_only: bool = False, cache_kib: int = 32_768) -> None:
        self.last_position = 0
        self.losses = 0
        self._next_position = self._savepoint_position = 1
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._is_open = False
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, cached_statements=_CACHED_STATEMENTS
            )
            self._cursor = self._connection.cursor()
            for pragma in (
                f"busy_timeout = {_BUSY_TIMEOUT_MS}",
                "journal_mode = WAL",
                "synchronous = FULL",
                "temp_store = MEMORY",
                f"cache_size = -{cache_kib}",
                # As PostgreSQL has it.
                "case_sensitive_like = ON",
                f"query_only = {int(read_only)}",
            ):
                self._cursor.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"cannot open the database {path}: {error}") from error

    def load_position(self) -> None:
        (row,) = self._cursor.execute("SELECT COALESCE(MAX(position), 0) FROM log").fetchall()
        self.last_position = row[0]
        self._next_position = row[0] + 1

    def begin_reading(self, *, one_statement: bool) -> None:
        """A snapshot costs next to nothing here: it begins with the first statement in any case."""

    def query(self, sql: str, params: Sequence[Any]) -> list[Row]:
        try:
            if not self._is_open:
                self._cursor.execute(self._begin)
                self._is_open = True
            return self._cursor.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise _translated(error, sql) from error

    def execute(self, sql: str, params: Sequence[Any]) -> int:
        try:
            if not self._is_open:
                self._cursor.execute(self._begin)
                self._is_open = True
            return self._cursor.execute(sql, params).rowcount
        except sqlite3.Error as error:
            raise _translated(error, sql) from error

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            if not self._is_open:
                self._cursor.execute(self._begin)
                self._is_open = True
            self._cursor.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _translated(error, sql) from error

    def write_rows(self, table: str, columns: tuple[str, ...], key: tuple[str, ...], rows: list[Row]) -> None:
        self.execute_many(_insert(table, columns, key), rows)

    def claim_positions(self, count: int) -> int:
        first = self._next_position
        self._next_position += count
        return first

    def write_log(self, rows: list[Row]) -> None:
        self.execute_many(_INSERT_LOG, rows)

    def find_name(self, column: str, by: str, key: str | int) -> Any:
        rows = self.query(f"SELECT {column} FROM names WHERE {by} = ?", (key,))
        return rows[0][0] if rows else None

    def find_or_add_name(self, value: str) -> int:
        nid = self.find_name("nid", "value", value)
        if nid is None:
            ((nid,),) = self.query("INSERT INTO names (value) VALUES (?) RETURNING nid", (value,))
        return int(nid)

    def savepoint(self) -> None:
        self.execute("SAVEPOINT job", ())
        self._savepoint_position = self._next_position

    def release(self) -> None:
        self.execute("RELEASE job", ())

    def rollback_to_savepoint(self) -> None:
        self._next_position = self._savepoint_position
        self.execute("ROLLBACK TO job", ())
        self.execute("RELEASE job", ())

    def commit(self) -> None:
        if self._is_open:
            try:
                self._cursor.execute("COMMIT")
            except sqlite3.Error as error:
                raise _translated(error, "COMMIT") from error
            self._is_open = False
        self.last_position = self._next_position - 1

    def rollback(self) -> None:
        self._next_position = self.last_position + 1
        self._is_open = False
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def run_script(self, sql: str) -> None:
        for statement in split_statements(dialect(sql)):
            self.execute(statement, ())

    def close(self) -> None:
        self._connection.close()

    def image(self) -> bytes:
        """The whole database, as the file would hold it."""
        return self._connection.serialize()

    def load_image(self, image: bytes) -> None:
        """Become a copy of the database that `image` was taken of."""
        self._connection.deserialize(image)


def make_place(path: str) -> None:
    """Make the file, which nobody but its owner may read, and where it lies.

    Raises:
        DatabaseUnavailable: that is not possible here.
    """
    if path == MEMORY:
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot open the database {path}: {error}") from error


@lru_cache(maxsize=1024)
def _insert(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}){upsert_clause(columns, key)}"


_INSERT_LOG = _insert("log", LOG_COLUMNS, ())


def dialect(script: str) -> str:
    """The schema in SQLite's words: only INTEGER PRIMARY KEY is the row's own number."""
    script = re.sub(r"\bBIGINT\s+PRIMARY\s+KEY\b", "INTEGER PRIMARY KEY", script)
    return re.sub(r"\bCREATE FULLTEXT TABLE (\w+)", r"CREATE VIRTUAL TABLE \1 USING fts5(words)", script)


def _translated(error: sqlite3.Error, sql: str) -> StorageError:
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintViolated(f"{error} in {sql[:200]}")
    if isinstance(error, sqlite3.OperationalError) and "disk" in str(error):
        return DatabaseUnavailable(str(error))
    return StorageError(f"{error} in {sql[:200]}")
