"""Bringing a database to the schema of this code: numbered SQL files, each applied once and in order.

The files are written in one dialect (`?`, BLOB, BIGINT PRIMARY KEY, WITHOUT ROWID, no REFERENCES); the
engines put them in their own words. A database that knows a migration which this code does not is newer, and
is refused. A file that has been applied anywhere never changes: its digest is kept, and a database that was made by
another text is refused as well, before it fails in the middle of something.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from storage.connection import Connection
from storage.errors import SchemaMismatch

_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_CREATE = """CREATE TABLE IF NOT EXISTS schema_version (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL
)"""


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    script: str

    @property
    def digest(self) -> str:
        """Of what the file does; what it says of it may be put in better words."""
        statements = " ".join(re.sub(r"--[^\n]*", "", self.script).split())
        return hashlib.sha256(statements.encode()).hexdigest()[:32]


@cache
def known_migrations() -> tuple[Migration, ...]:
    """Every migration of this version, in order."""
    found: dict[int, Migration] = {}
    for path in sorted(Path(__file__).parent.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise SchemaMismatch(f"{path.name} is not named NNNN_name.sql")
        number = int(match[1])
        if number in found:
            raise SchemaMismatch(f"{path.name} has the number of {found[number].name}")
        found[number] = Migration(number, match[2], path.read_text("utf-8"))
    return tuple(found.values())


def migrate(connection: Connection) -> list[Migration]:
    """Apply what is missing, each file in a transaction of its own; what was applied is returned.

    Raises:
        SchemaMismatch: a newer version of Hearth has already worked with this database.
    """
    connection.run_script(_CREATE)
    rows = connection.query("SELECT number, name, digest FROM schema_version", ())
    connection.commit()
    known = known_migrations()
    applied = {number: name for number, name, _ in rows}
    check_not_newer(applied, known)
    check_unchanged({number: digest for number, _, digest in rows}, known)
    missing = [migration for migration in known if migration.number not in applied]
    for migration in missing:
        try:
            connection.run_script(migration.script)
            connection.execute(
                "INSERT INTO schema_version (number, name, digest) VALUES (?, ?, ?)",
                (migration.number, migration.name, migration.digest),
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    return missing


def check_unchanged(digests: dict[int, str], known: tuple[Migration, ...]) -> None:
    """Refuse a database to which another text of a migration was applied."""
    changed = [one for one in known if digests.get(one.number, one.digest) != one.digest]
    if changed:
        names = ", ".join(f"{one.number:04}_{one.name}" for one in changed)
        raise SchemaMismatch(
            f"the database was made by a version of Hearth that was never released: its {names} is another; "
            "go back to that version, or begin with an empty database"
        )


def check_not_newer(applied: dict[int, str], known: tuple[Migration, ...]) -> None:
    """Refuse a database with migrations that this code has never heard of."""
    strangers = sorted(set(applied) - {migration.number for migration in known})
    if strangers:
        names = ", ".join(f"{number:04}_{applied[number]}" for number in strangers)
        raise SchemaMismatch(
            f"the database was made by a newer version of Hearth: it has {names}, which this version does not"
            " know; install that version again, or restore a backup"
        )
