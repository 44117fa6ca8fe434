"""What queries are functions over: statements, rows that wait for the end of the batch, names and log rows.

`insert`, `put` and `log` are *buffered*. The jobs of a group commit share one transaction, and what they
buffer is written at its end with one statement for each table and set of columns, or earlier when a statement
names a table that has rows waiting. So a job that only buffers never waits for the database, and one that
fails while its rows still wait is undone by dropping them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

from homeserver.runtime.notifier import LogEntry, LogKind
from storage.connection import Connection, Row
from storage.errors import ReadOnly, StorageError
from storage.interning import Names

P = ParamSpec("P")
Callback = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]
_Buffer = tuple[str, tuple[str, ...], tuple[str, ...]]


class Slot:
    """The place of a log row whose position is not known yet.

    It may stand in any buffered row; the position goes there when the row is written, and `position` has it
    from then on: in `after_commit` and after `Database.run`.
    """

    __slots__ = ("_entry", "_room", "_user")

    def __init__(self, entry: LogEntry, room: int | None, user: int | None) -> None:
        self._entry = entry
        self._room = room
        self._user = user

    @property
    def position(self) -> int:
        return self._entry.position

    def settle(self, position: int) -> Row:
        """The log row, now that its position is known."""
        entry = self._entry
        entry.position = position
        return (position, entry.kind._value_, self._room, self._user, entry.ref)

    def __conform__(self, _protocol: object) -> int:
        return self._entry.position


class Transaction:
    """One read-only snapshot; `WriteTransaction` adds the writing."""

    __slots__ = ("_connection", "_names")

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def all(self, sql: str, *params: Any) -> list[Row]:
        """Every row of the answer."""
        return self._connection.query(sql, params)

    def one(self, sql: str, *params: Any) -> Row | None:
        """The first row of the answer, or None."""
        rows = self.all(sql, *params)
        return rows[0] if rows else None

    def value(self, sql: str, *params: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.all(sql, *params)
        return rows[0][0] if rows else None

    def find_interned(self, value: str) -> int | None:
        """The number of a name, or None if it has never been seen."""
        nid = self._names.numbers.get(value)
        if nid is None:
            found = self._connection.find_name("nid", "value", value)
            if found is None:
                return None
            nid = int(found)
            self._names.add(value, nid)
        return nid

    def find_all_interned(self, values: Iterable[str]) -> list[int]:
        """The numbers of those among the names that have been seen: all that memory lacks, with one statement."""
        found: list[int] = []
        missing: list[str] = []
        for value in values:
            nid = self._names.numbers.get(value)
            if nid is None:
                missing.append(value)
            else:
                found.append(nid)
        if missing:
            marks = ", ".join("?" * len(missing))
            found += [
                int(nid) for (nid,) in self.all(f"SELECT nid FROM names WHERE value IN ({marks})", *missing)
            ]
        return found

    def interned(self, nid: int) -> str:
        """The name that has this number.

        Raises:
            KeyError: there is none.
        """
        value = self._names.values.get(nid)
        if value is None:
            found = self._connection.find_name("value", "nid", nid)
            if found is None:
                raise KeyError(f"no name has the number {nid}")
            value = str(found)
            self._names.add(value, nid)
        return value

    def execute(self, sql: str, *params: Any) -> int:
        """Run a statement that writes; how many rows it touched."""
        raise ReadOnly("this transaction only reads")

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that writes once for each row of parameters."""
        raise ReadOnly("this transaction only reads")

    def insert(self, table: str, columns: tuple[str, ...], row: Row) -> None:
        """Add a row at the end of the batch."""
        raise ReadOnly("this transaction only reads")

    def put(self, table: str, columns: tuple[str, ...], row: Row, key: tuple[str, ...]) -> None:
        """Add a row at the end of the batch, or replace the one with the same `key`; the last put wins."""
        raise ReadOnly("this transaction only reads")

    def intern(self, value: str) -> int:
        """The number that stands for a name, from now on if there was none."""
        raise ReadOnly("this transaction only reads")

    def log(
        self,
        kind: LogKind,
        *,
        room_id: str | None = None,
        user_id: str | None = None,
        ref: str = "",
        payload: Any = None,
    ) -> Slot:
        """Add a row to the log; it is announced after the commit, with `payload`."""
        raise ReadOnly("this transaction only reads")

    def after_commit(self, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `fn` on the reactor thread after the commit, before the log rows of the batch are announced."""
        raise ReadOnly("this transaction only reads")


class WriteTransaction(Transaction):
    """The transaction of one batch; its jobs run in it one after the other."""

    __slots__ = (
        "_buffers",
        "_callbacks_before",
        "_entries_before",
        "_is_dirty",
        "_names_before",
        "_new_names",
        "_settled",
        "_slots",
        "_touched",
        "callbacks",
        "entries",
    )

    def __init__(self, connection: Connection, names: Names) -> None:
        super().__init__(connection, names)
        self.entries: list[LogEntry] = []
        self.callbacks: list[Callback] = []
        self._buffers: dict[_Buffer, list[Row]] = {}
        self._slots: list[Slot] = []
        self._settled = 0
        self._new_names: dict[str, int] = {}
        # What the present job has done so far.
        self._touched: list[list[Row]] = []
        self._entries_before = 0
        self._callbacks_before = 0
        self._names_before = 0
        self._is_dirty = False

    def all(self, sql: str, *params: Any) -> list[Row]:
        self._flush_for(sql)
        if not sql.startswith("SELECT"):
            self._is_dirty = True
        try:
            return self._connection.query(sql, params)
        except StorageError:
            # The transaction cannot go on on every engine, even if the job could.
            self._is_dirty = True
            raise

    def execute(self, sql: str, *params: Any) -> int:
        self._flush_for(sql)
        self._is_dirty = True
        return self._connection.execute(sql, params)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._flush_for(sql)
        self._is_dirty = True
        self._connection.execute_many(sql, rows)

    def insert(self, table: str, columns: tuple[str, ...], row: Row) -> None:
        buffer = (table, columns, ())
        rows = self._buffers.get(buffer)
        if rows is None:
            rows = self._buffers[buffer] = []
        rows.append(row)
        self._touched.append(rows)

    def put(self, table: str, columns: tuple[str, ...], row: Row, key: tuple[str, ...]) -> None:
        buffer = (table, columns, key)
        rows = self._buffers.get(buffer)
        if rows is None:
            rows = self._buffers[buffer] = []
        rows.append(row)
        self._touched.append(rows)

    def intern(self, value: str) -> int:
        nid = self._names.numbers.get(value)
        if nid is None:
            nid = self._new_names.get(value)
            if nid is None:
                nid = self._new_names[value] = self._connection.find_or_add_name(value)
        return nid

    def find_interned(self, value: str) -> int | None:
        nid = self._new_names.get(value)
        return super().find_interned(value) if nid is None else nid

    def interned(self, nid: int) -> str:
        for value, new in self._new_names.items():
            if new == nid:
                return value
        return super().interned(nid)

    def log(
        self,
        kind: LogKind,
        *,
        room_id: str | None = None,
        user_id: str | None = None,
        ref: str = "",
        payload: Any = None,
    ) -> Slot:
        entry = LogEntry(0, kind, room_id, user_id, ref, payload)
        slot = Slot(
            entry,
            None if room_id is None else self.intern(room_id),
            None if user_id is None else self.intern(user_id),
        )
        self.entries.append(entry)
        self._slots.append(slot)
        return slot

    def after_commit(self, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        self.callbacks.append((fn, args, kwargs))

    def keep(self) -> None:
        """The present job has succeeded; the next one begins."""
        self._touched.clear()
        self._entries_before = len(self.entries)
        self._callbacks_before = len(self.callbacks)
        self._names_before = len(self._new_names)
        self._is_dirty = False

    def undo(self) -> bool:
        """The present job has failed; whether all it did could be taken back without the database."""
        if self._is_dirty:
            return False
        for rows in reversed(self._touched):
            rows.pop()
        self._forget_job()
        return True

    def undone(self) -> None:
        """The present job has failed and the database has taken it back, to where nothing was buffered."""
        self._buffers.clear()
        self._forget_job()
        for value in list(self._new_names)[self._names_before :]:
            del self._new_names[value]
        self._settled = len(self._slots)

    def _forget_job(self) -> None:
        self._touched.clear()
        del self.entries[self._entries_before :]
        del self._slots[self._entries_before :]
        del self.callbacks[self._callbacks_before :]
        self._is_dirty = False

    def flush(self) -> None:
        """Write what is buffered; log rows get their positions now."""
        if self._touched or len(self._slots) > self._entries_before:
            self._is_dirty = True
            self._touched.clear()
        connection = self._connection
        log_rows: list[Row] = []
        waiting = self._slots[self._settled :]
        if waiting:
            first = connection.claim_positions(len(waiting))
            log_rows = [slot.settle(position) for position, slot in enumerate(waiting, first)]
            self._settled = len(self._slots)
        buffers = self._buffers
        if buffers:
            # Every process takes its locks in the same order.
            for table, columns, key in sorted(buffers):
                rows = buffers[table, columns, key]
                if rows:
                    connection.write_rows(
                        table, columns, key, _last_of_each(rows, columns, key) if key else rows
                    )
            self._buffers = {}
        if log_rows:
            connection.write_log(log_rows)

    def publish_names(self) -> None:
        """The transaction has been committed: its new names are everybody's."""
        for value, nid in self._new_names.items():
            self._names.add(value, nid)
        self._new_names.clear()

    def _flush_for(self, sql: str) -> None:
        """Write what is buffered if the statement may want to see it."""
        if self._slots and len(self._slots) > self._settled and " log" in sql:
            self.flush()
            return
        for table, _, _ in self._buffers:
            if table in sql:
                self.flush()
                return


def _last_of_each(rows: list[Row], columns: tuple[str, ...], key: tuple[str, ...]) -> list[Row]:
    if len(rows) == 1:
        return rows
    if len(key) == 1:
        at = columns.index(key[0])
        return list({row[at]: row for row in rows}.values())
    places = [columns.index(column) for column in key]
    return list({tuple([row[place] for place in places]): row for row in rows}.values())
