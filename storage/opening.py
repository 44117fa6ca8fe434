"""Opening a database: connect, bring the schema up to date, find the end of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.database import DatabaseConfig
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage.connection import Connection
from storage.database import Database
from storage.migrations import migrate
from storage.sqlite import MEMORY, SqliteConnection, make_place
from storage.worker import Worker

DEFAULT_PATH = "homeserver.db"


def open_database(config: DatabaseConfig, clock: Clock, notifier: Notifier, worker: Worker) -> Database:
    """Open the database of the configuration; `notifier` then stands at the end of its log.

    Raises:
        DatabaseUnavailable: it cannot be reached.
        SchemaMismatch: a newer version of Hearth has already worked with it.
    """
    if config.name == "psycopg2":
        return open_postgres(config.args.libpq(), clock, notifier, worker)
    path = DEFAULT_PATH if config.args.database is None else str(config.args.database)
    return open_sqlite(path, clock, notifier, worker)


def open_sqlite(
    path: str, clock: Clock, notifier: Notifier, worker: Worker, *, image: bytes | None = None
) -> Database:
    """Open the file at `path`; `":memory:"` is for an `InlineWorker`, and may begin as a copy of `image`."""
    make_place(path)
    writer = SqliteConnection(path)
    if image is not None:
        writer.load_image(image)
    else:
        _bring_up_to_date(writer)
    writer.load_position()
    notifier.start_at(writer.last_position)

    def open_reader() -> Connection:
        return writer if path == MEMORY else SqliteConnection(path, read_only=True, cache_kib=8_192)

    return Database(writer, open_reader, clock=clock, notifier=notifier, worker=worker)


def open_postgres(
    arguments: Mapping[str, Any],
    clock: Clock,
    notifier: Notifier,
    worker: Worker,
    *,
    connect: Callable[[Mapping[str, Any]], Connection] | None = None,
) -> Database:
    """Open the database that libpq finds with `arguments`."""
    # Whoever has no PostgreSQL does not pay for its driver.
    from storage.postgres import PostgresConnection

    writer = PostgresConnection(arguments) if connect is None else connect(arguments)
    _bring_up_to_date(writer)
    writer.load_position()
    notifier.start_at(writer.last_position)

    def open_reader() -> Connection:
        return PostgresConnection(arguments, read_only=True)

    return Database(writer, open_reader, clock=clock, notifier=notifier, worker=worker)


def _bring_up_to_date(writer: Connection) -> None:
    try:
        migrate(writer)
    except BaseException:
        writer.close()
        raise
