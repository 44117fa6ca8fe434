"""Memory, limits, logs, and what is shared with other processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.schema import duration_ms, secret, setting, size


@dataclass(frozen=True, kw_only=True, slots=True)
class CachesConfig:
    """Memory: how much may be remembered."""

    memory: int = size("256M", "The memory of rooms and other things that can be read again.")
    rooms: int | None = size(None, "The share of rooms; three quarters by default.")
    route_cache_ttl_ms: int = duration_ms(
        "60s", "How long an answer of `/im/v1` may be remembered.", key="route_cache_ttl"
    )

    @property
    def rooms_bytes(self) -> int:
        return self.memory * 3 // 4 if self.rooms is None else self.rooms

    @property
    def fragments_bytes(self) -> int:
        """What readers of `/sync` share."""
        return max(self.memory - self.rooms_bytes, self.memory // 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsConfig:
    """Limits: how much one client may ask of the server."""

    max_connections: int = setting(20_000, "The most connections of one listener.")
    idle_connection_timeout_ms: int = duration_ms(
        "3m", "How long a connection may stay open without a request.", key="idle_connection_timeout"
    )
    request_body_timeout_ms: int = duration_ms(
        "60s", "How long a body may make no progress.", key="request_body_timeout"
    )
    shutdown_timeout_ms: int = duration_ms(
        "10s", "How long what is in flight may take when the server stops.", key="shutdown_timeout"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LogConfig:
    """Log: what is written of what happens. Secrets never are."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "The least important that is written."
    )
    format: Literal["console", "json"] = setting("console", "For people or for programs.")
    file: Path | None = setting(
        None, "Where; the standard output without it. It is opened again on SIGHUP.", kind="path"
    )
    access: bool = setting(True, "Whether every request gets a line.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisConfig:
    """Redis: limits and caches that several processes share. It needs the extra `redis`."""

    enabled: bool = setting(False, "Whether it is used.")
    host: str = setting("localhost", "Where it is.")
    port: int = setting(6379, "Its port.")
    path: Path | None = setting(None, "Its Unix socket, instead.", kind="path")
    dbid: int = setting(0, "The number of the database.")
    username: str | None = setting(None, "The user.")
    password: str | None = secret("The password.")
    use_tls: bool = setting(False, "Whether to speak TLS.")
