"""A database is brought up to date, and a newer one is refused."""

from __future__ import annotations

import re

import pytest

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage.database import Database
from storage.errors import SchemaMismatch
from storage.migrations import known_migrations
from storage.transaction import Transaction
from storage.worker import InlineWorker
from tests.fixtures.databases import Engine


def _version(txn: Transaction) -> list[tuple[int, str]]:
    return [
        (number, name) for number, name in txn.all("SELECT number, name FROM schema_version ORDER BY number")
    ]


async def test_an_empty_database_gets_the_whole_schema(
    empty_engine: Engine, clock: Clock, notifier: Notifier
) -> None:
    for _ in range(2):
        db = empty_engine.open(clock, notifier, InlineWorker(clock))
        assert await db.read(_version) == [(known.number, known.name) for known in known_migrations()]
        await db.close()


async def test_a_newer_database_is_refused(
    database: Database, engine: Engine, clock: Clock, notifier: Notifier
) -> None:
    row = (9999, "flying_cars", "")
    await database.run(lambda txn: txn.insert("schema_version", ("number", "name", "digest"), row))
    with pytest.raises(SchemaMismatch, match="9999_flying_cars"):
        engine.open(clock, notifier, InlineWorker(clock))


async def test_a_database_of_another_text_is_refused(
    database: Database, engine: Engine, clock: Clock, notifier: Notifier
) -> None:
    await database.run(lambda txn: txn.execute("UPDATE schema_version SET digest = 'x' WHERE number = 2"))
    with pytest.raises(SchemaMismatch, match="0002_rooms is another"):
        engine.open(clock, notifier, InlineWorker(clock))


@pytest.mark.parametrize("migration", known_migrations(), ids=lambda migration: migration.name)
def test_migrations_keep_to_what_both_databases_understand(migration: object) -> None:
    script = re.sub(r"--[^\n]*", "", migration.script)  # type: ignore[attr-defined]  # parametrised
    for word in ("REFERENCES", "AUTOINCREMENT", "SERIAL", "BYTEA", "JSONB", "TRIGGER", "DATETIME", "VARCHAR"):
        assert not re.search(rf"\b{word}\b", script, re.IGNORECASE), f"{word} does not mean the same to both"
