"""The other engine: PostgreSQL through psycopg2.

A round trip costs more than the work that it asks for, so writes are held back as text: a batch that only
buffers is one string, BEGIN to COMMIT, and takes one trip. Values are quoted by the driver.

The log's counter is a row (DESIGN 6). We know where it stands as long as we are the only ones who move it, so
the batch says what it expects to find and fails when somebody else has been there; from then on positions are
asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import psycopg2
from psycopg2 import extensions

from storage.connection import LOG_COLUMNS, Row, upsert_clause
from storage.errors import (
    ConstraintViolated,
    DatabaseUnavailable,
    NeedsSnapshot,
    PositionsMoved,
    StorageError,
    UnstorableText,
)
from storage.transaction import Slot

_CONNECT_TIMEOUT_S = 10
_ROWS_AT_ONCE = 500
_BEGIN_WRITING = b"BEGIN;"
_SAVEPOINT = b"SAVEPOINT job"
_BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"


def _bytes_of(value: str | bytes | None, _cursor: object) -> bytes | None:
    # The driver hands over text, `\\x` and hexadecimal digits.
    return None if value is None else bytes.fromhex(cast(str, value)[2:])


_BYTEA = extensions.new_type((17,), "HEARTH_BYTEA", _bytes_of)
_NUMERIC = extensions.new_type(
    (1700,), "HEARTH_NUMERIC", lambda value, _cursor: None if value is None else int(value)
)


def _quoted_position(slot: Slot) -> Any:
    return extensions.AsIs(slot.position)


def _quoted_bool(value: bool) -> Any:  # noqa: FBT001  # the driver calls it
    # Truth is a SMALLINT in the schema, as it is in SQLite.
    return extensions.AsIs(int(value))


extensions.register_adapter(Slot, _quoted_position)
extensions.register_adapter(bool, _quoted_bool)


class PostgresConnection:
    """A connection that is opened when it is first used, and again after it was lost."""

    def __init__(self, arguments: Mapping[str, Any], *, read_only: bool = False) -> None:
        self.last_position = 0
        self.losses = 0
        self._arguments = {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": "hearth", **arguments}
        self._begin = _BEGIN_READING if read_only else _BEGIN_WRITING
        self._connection: Any = None
        self._cursor: Any = None
        # What will be sent with the next statement that needs an answer.
        self._pending: list[bytes] = []
        self._is_open = False
        self._next_position = self._savepoint_position = 1
        self._is_shared = False
        self._moves: bytes | None = None
        # How many statements may still be sent without a transaction, or None where there is one.
        self._statements_left: int | None = None

    def load_position(self) -> None:
        (row,) = self.query("SELECT value FROM counters WHERE name = 'log'", ())
        self.last_position = row[0]
        self.rollback()

    def begin_reading(self, *, one_statement: bool) -> None:
        self._statements_left = 1 if one_statement else None

    def query(self, sql: str, params: Sequence[Any]) -> list[Row]:
        if self._statements_left is not None:
            if not self._statements_left:
                raise NeedsSnapshot
            self._statements_left -= 1
            return self._query_alone(sql, params)
        self._send(self._text(sql, params))
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def execute(self, sql: str, params: Sequence[Any]) -> int:
        self._send(self._text(sql, params))
        count: int = self._cursor.rowcount
        return count

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._hold(self._text(sql, row))

    def write_rows(self, table: str, columns: tuple[str, ...], key: tuple[str, ...], rows: list[Row]) -> None:
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            self._hold(
                self._quote(_insert(table, columns, key, len(some)), [value for row in some for value in row])
            )

    def claim_positions(self, count: int) -> int:
        if self._is_shared:
            (row,) = self.query(
                "UPDATE counters SET value = value + ? WHERE name = 'log' RETURNING value", (count,)
            )
            self._next_position = row[0] + 1
            return int(row[0]) - count + 1
        first = self._next_position
        self._next_position += count
        self._moves = _move_counter(first - 1, self._next_position - 1)
        return first

    def write_log(self, rows: list[Row]) -> None:
        if self._moves is not None:
            # As late as possible: until the commit, nobody else can move the counter.
            self._hold(self._moves)
            self._moves = None
        self.write_rows("log", LOG_COLUMNS, (), rows)

    def find_name(self, column: str, by: str, key: str | int) -> Any:
        query = self.query if self._statements_left is None else self._query_alone
        rows = query(f"SELECT {column} FROM names WHERE {by} = ?", (key,))
        return rows[0][0] if rows else None

    def find_or_add_name(self, value: str) -> int:
        while True:
            found = self.query(_FIND_OR_ADD_NAME, (value, value))
            if found:
                return int(found[0][0])
            # Somebody else has just added it: the next snapshot sees it.

    def savepoint(self) -> None:
        self._hold(_SAVEPOINT)
        self._savepoint_position = self._next_position

    def release(self) -> None:
        # Sent at once, for what the job has held back must fail while it is still known whose it is.
        self._send(b"RELEASE job")

    def rollback_to_savepoint(self) -> None:
        is_held = _SAVEPOINT in self._pending
        self._pending.clear()
        self._moves = None
        self._next_position = self._savepoint_position
        if not is_held:
            self._send(b"ROLLBACK TO job; RELEASE job")

    def commit(self) -> None:
        if self._is_open or self._pending:
            self._send(b"COMMIT")
            self._is_open = False
        self.last_position = self._next_position - 1

    def rollback(self) -> None:
        self._pending.clear()
        self._moves = None
        self._next_position = self.last_position + 1
        if self._is_open:
            self._is_open = False
            self._send_alone(b"ROLLBACK")

    def run_script(self, sql: str) -> None:
        self._send(dialect(sql).encode())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        arguments = dict(self._arguments)
        dsn = arguments.pop("dsn", None)
        try:
            connection = psycopg2.connect(dsn, **arguments)
            connection.autocommit = True
            connection.set_client_encoding("UTF8")
            extensions.register_type(_BYTEA, connection)
            extensions.register_type(_NUMERIC, connection)
            self._cursor = connection.cursor()
            self._cursor.execute(
                "SET synchronous_commit = on; SET standard_conforming_strings = on; SET bytea_output = 'hex'"
            )
        except psycopg2.Error as error:
            raise DatabaseUnavailable(f"cannot connect to PostgreSQL: {_first_line(error)}") from error
        self._connection = connection

    def _text(self, sql: str, params: Sequence[Any]) -> bytes:
        return self._quote(translate(sql), params) if params else sql.encode()

    def _quote(self, sql: str, params: Sequence[Any]) -> bytes:
        if self._connection is None:
            self._connect()
        try:
            text: bytes = self._cursor.mogrify(sql, params)
        except ValueError as error:
            # A zero byte or a lone surrogate, which PostgreSQL keeps in no text: what has one is nowhere stored.
            raise UnstorableText(
                f"text with a zero byte or half a character: {_first_line(error)}"
            ) from error
        except psycopg2.Error as error:
            raise StorageError(f"{_first_line(error)} in {sql[:200]}") from error
        return text

    def _query_alone(self, sql: str, params: Sequence[Any]) -> list[Row]:
        """One statement is a snapshot by itself."""
        text = self._text(sql, params)
        if self._connection is None:
            self._connect()
        self._send_alone(text)
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def _hold(self, text: bytes) -> None:
        self._pending.append(text)

    def _send(self, text: bytes) -> None:
        """Send what is held back, and then `text`, whose answer is the cursor's."""
        if self._pending:
            text = b";".join((*self._pending, text))
            self._pending.clear()
        if not self._is_open:
            text = self._begin + text
        if self._connection is None:
            self._connect()
        self._is_open = True
        self._send_alone(text)

    def _send_alone(self, text: bytes) -> None:
        try:
            self._cursor.execute(text)
        except psycopg2.Error as error:
            if self._connection.closed:
                self.lose()
                raise DatabaseUnavailable(f"PostgreSQL went away: {_first_line(error)}") from error
            if isinstance(error, psycopg2.IntegrityError):
                raise ConstraintViolated(_first_line(error)) from error
            if isinstance(error, psycopg2.errors.DivisionByZero) and b"UPDATE counters" in text:
                self._is_shared = True
                raise PositionsMoved("somebody else has advanced the log") from error
            raise StorageError(f"{_first_line(error)} in {text[:200].decode('utf-8', 'replace')}") from error

    def lose(self) -> None:
        """The connection is gone; the next statement makes another one."""
        self._connection = None
        self._is_open = False
        self.losses += 1


_FIND_OR_ADD_NAME = (
    "WITH added AS (INSERT INTO names (value) VALUES (?) ON CONFLICT (value) DO NOTHING RETURNING nid)"
    " SELECT nid FROM added UNION ALL SELECT nid FROM names WHERE value = ?"
)


def _move_counter(expected: int, position: int) -> bytes:
    # The division is by zero exactly if the counter is not where we left it.
    return (
        "UPDATE counters SET value ="
        f" CASE WHEN value = {expected:d} THEN {position:d} ELSE 1 / (value - value) END WHERE name = 'log'"
    ).encode()


@lru_cache(maxsize=2048)
def _insert(table: str, columns: tuple[str, ...], key: tuple[str, ...], count: int) -> str:
    row = f"({', '.join(['%s'] * len(columns))})"
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * count)}{upsert_clause(columns, key)}"


@lru_cache(maxsize=2048)
def translate(sql: str) -> str:
    """The statement with the driver's placeholders; question marks in literals are only question marks."""
    sql = sql.replace("search_words MATCH ?", "vector @@ plainto_tsquery('simple', ?)")
    parts = re.split(r"('(?:[^']|'')*')", sql.replace("%", "%%"))
    return "".join(part if part.startswith("'") else part.replace("?", "%s") for part in parts)


_WORDS = (
    (r"\s*\bWITHOUT\s+ROWID\b", ""),
    (r"\bBLOB\b", "BYTEA"),
    (r"\b(?:BIGINT|INTEGER)\s+PRIMARY\s+KEY\b", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
    (r"\b(?:INTEGER|INT)\b", "BIGINT"),
    (r"\bBOOLEAN\b", "SMALLINT"),
    (r"\bREAL\b", "DOUBLE PRECISION"),
    # In the order of their bytes, as SQLite sorts.
    (r"\bTEXT\b(?!\s*\)|\s+COLLATE)", 'TEXT COLLATE "C"'),
    (
        r"\bCREATE FULLTEXT TABLE (\w+)",
        (
            r"CREATE TABLE \1 (rowid BIGINT PRIMARY KEY, words TEXT NOT NULL, vector TSVECTOR"
            r" GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED);"
            r" CREATE INDEX \1_vector ON \1 USING GIN (vector)"
        ),
    ),
)


def dialect(script: str) -> str:
    """The schema in PostgreSQL's words."""
    script = re.sub(r"--[^\n]*", "", script)
    for pattern, replacement in _WORDS:
        script = re.sub(pattern, replacement, script)
    return script.strip().rstrip(";")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
