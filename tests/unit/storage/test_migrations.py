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

# What databases out there were made by. A file on this list never changes: what comes next is a new file and line.
APPLIED = {
    "0001_core": "15deb4618d1a58ec80d2b566b211e543",
    "0002_rooms": "7f969bc4be46d20de5e1a87e12df08da",
    "0003_users": "a2e3efb9fe121b458f6913215f1cd2fc",
    "0004_e2ee": "101b3d9a1235df66c1d3089708c983e9",
    "0005_media": "7aef2e7d14717ccbd5cfb4d951e07e6a",
    "0006_push": "d919d701b1a91793267723d02836d60e",
    "0007_search": "f53b40265e3c6fa6ce65ed17d3d836fb",
    "0008_oauth": "84444d5ab40da2ffe91bba3d94b340de",
    "0009_appservices": "3d7d3e3c467e239f3bd7a2f0fbe66fd5",
    "0010_federation": "99ae00d36254cf11504303d13eb141e8",
    "0012_delayed_events": "f0878fccc05736c7b1250d8bad428800",
    "0013_threads": "5f16102fae98e21d5d391917023afe8c",
    "0014_presence": "c0e261f2987528910736846231b6e9af",
    "0015_moderation": "80ef873f932611c745f98dfb65fb5b46",
    "0016_validation": "267b4c24e8e12d8b0b6b6eaf22583faf",
    "0020_im": "9c107509176c8304fdc22ad6d01f0bcf",
    "0021_im_groups": "1e59d0826a43b510b62b5d97155250f4",
}


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


def test_what_was_applied_never_changes() -> None:
    assert {f"{known.number:04}_{known.name}": known.digest for known in known_migrations()} == APPLIED


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
