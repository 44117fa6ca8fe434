"""What the two engines have in common: the connection that a transaction speaks through, and some SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

Row = tuple[Any, ...]


class Connection(Protocol):
    """One connection, used by one thread at a time; statements have `?` placeholders.

    A transaction begins with its first statement. Writes may be held back until something needs an answer;
    `commit` sends whatever is left and returns when it is on disk.
    """

    last_position: int
    """The position of the last committed log row that this connection knows of."""

    losses: int
    """How often the connection has been lost."""

    def load_position(self) -> None:
        """Count log positions from the last one in the database."""

    def begin_reading(self, *, one_statement: bool) -> None:
        """Begin a snapshot, which costs less if only one statement will be run in it.

        A second one then raises `NeedsSnapshot`.
        """

    def query(self, sql: str, params: Sequence[Any]) -> list[Row]: ...

    def execute(self, sql: str, params: Sequence[Any]) -> int: ...

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None: ...

    def write_rows(self, table: str, columns: tuple[str, ...], key: tuple[str, ...], rows: list[Row]) -> None:
        """Insert the rows; with a `key`, replace those that are there already."""

    def claim_positions(self, count: int) -> int:
        """Take the next `count` positions of the log for this transaction; the first of them is returned."""

    def write_log(self, rows: list[Row]) -> None: ...

    def find_name(self, column: str, by: str, key: str | int) -> Any:
        """The `column` of the name whose `by` is `key`, or None. Names never change: this needs no snapshot."""

    def find_or_add_name(self, value: str) -> int: ...

    def savepoint(self) -> None: ...

    def release(self) -> None: ...

    def rollback_to_savepoint(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def run_script(self, sql: str) -> None:
        """Run the statements of a migration inside the transaction."""

    def close(self) -> None: ...


LOG_COLUMNS = ("position", "kind", "room", "user_name", "ref")


@lru_cache(maxsize=1024)
def upsert_clause(columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    """What follows VALUES in a statement that replaces rows with the same key."""
    if not key:
        return ""
    others = [column for column in columns if column not in key]
    if not others:
        return f" ON CONFLICT ({', '.join(key)}) DO NOTHING"
    changes = ", ".join(f"{column} = excluded.{column}" for column in others)
    return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


def split_statements(script: str) -> list[str]:
    """The statements of a migration; comments and literals may have semicolons in them."""
    statements: list[str] = []
    current: list[str] = []
    for part in _lexemes(script):
        if part == ";":
            statements.append("".join(current).strip())
            current = []
        elif not part.startswith("--"):
            current.append(part)
    statements.append("".join(current).strip())
    return [statement for statement in statements if statement]


def _lexemes(script: str) -> Iterable[str]:
    """The script cut into semicolons, line comments, quoted texts and what lies between them."""
    start = at = 0
    while at < len(script):
        character = script[at]
        if character in "'\"":
            end = script.index(character, at + 1) + 1
        elif script.startswith("--", at):
            end = script.find("\n", at)
            end = len(script) if end < 0 else end
        elif character == ";":
            end = at + 1
        else:
            at += 1
            continue
        yield script[start:at]
        yield script[at:end]
        start = at = end
    yield script[start:]
