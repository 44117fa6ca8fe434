"""Where everything is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from config.schema import secret, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseArguments:
    """How to reach the database. The names are those of the drivers."""

    database: Path = setting(Path("homeserver.db"), "SQLite: the file.", kind="path")
    dbname: str | None = setting(None, "PostgreSQL: the database.")
    user: str | None = setting(None, "PostgreSQL: the user.")
    password: str | None = secret("PostgreSQL: the password.")
    host: str | None = setting(None, "PostgreSQL: the host, or the directory of its Unix socket.")
    port: int | None = setting(None, "PostgreSQL: the port.")
    sslmode: str | None = setting(
        None, "PostgreSQL: `disable`, `prefer`, `require`, `verify-ca` or `verify-full`."
    )
    sslrootcert: Path | None = setting(
        None, "PostgreSQL: the certificate that signed the server's.", kind="path"
    )
    sslcert: Path | None = setting(None, "PostgreSQL: our certificate.", kind="path")
    sslkey: Path | None = setting(None, "PostgreSQL: our certificate's key.", kind="path")
    connect_timeout: int | None = setting(None, "PostgreSQL: seconds to wait for a connection.")
    keepalives_idle: int | None = setting(
        None, "PostgreSQL: seconds of silence before a connection is probed."
    )
    keepalives_interval: int | None = setting(None, "PostgreSQL: seconds between probes.")
    keepalives_count: int | None = setting(None, "PostgreSQL: unanswered probes that end a connection.")
    application_name: str | None = setting(None, "PostgreSQL: how the connections are called in its views.")
    options: str | None = setting(
        None, "PostgreSQL: options for its server, such as `-c search_path=hearth`."
    )
    dsn: str | None = secret("PostgreSQL: a whole connection string, instead of all the others.")
    cp_min: int | None = setting(
        None, "Accepted for Synapse's sake; connections are opened as they are needed."
    )
    cp_max: int | None = setting(None, "Accepted for Synapse's sake; see `readers`.")

    def libpq(self) -> Mapping[str, Any]:
        """What PostgreSQL's library is told."""
        names = (
            "dbname", "user", "password", "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey",
            "connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
            "application_name", "options", "dsn",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {
            name: str(one) if isinstance(one, Path) else one for name, one in found.items() if one is not None
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseConfig:
    """Database: SQLite, embedded, by default; PostgreSQL for large servers and for several processes."""

    name: Literal["sqlite3", "psycopg2"] = setting("sqlite3", "`sqlite3` or `psycopg2` (PostgreSQL).")
    args: DatabaseArguments = setting(DatabaseArguments(), "How to reach it.", shown="")
    readers: int = setting(2, "How many threads read the database beside the one that writes.")

    def __post_init__(self) -> None:
        if self.readers < 1:
            raise ValueError("readers must be at least 1")
