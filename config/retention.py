"""How long things are kept."""

from __future__ import annotations

from dataclasses import dataclass

from config.schema import duration_ms, part, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionPolicy:
    """How long messages are kept in a room."""

    min_lifetime_ms: int | None = duration_ms(None, "At least.", key="min_lifetime")
    max_lifetime_ms: int | None = duration_ms(None, "At most.", key="max_lifetime")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionConfig:
    """Deleting old messages, as rooms (`m.room.retention`) and this server want."""

    enabled: bool = setting(False, "Whether old messages are deleted.")
    default_policy: RetentionPolicy = part(RetentionPolicy(), "For rooms that say nothing.")
    allowed_lifetime_min_ms: int | None = duration_ms(
        None, "The shortest that rooms may want.", key="allowed_lifetime_min"
    )
    allowed_lifetime_max_ms: int | None = duration_ms(
        None, "The longest that rooms may want.", key="allowed_lifetime_max"
    )
    interval_ms: int = duration_ms("1d", "How often what is old is looked for.", key="interval")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepingConfig:
    """Retention: how long things are kept."""

    retention: RetentionConfig = part(RetentionConfig(), "Deleting old messages.")
    redaction_retention_period_ms: int | None = duration_ms(
        "7d",
        "How long the content of a redacted event can still be seen by administrators; `null` is for ever.",
        key="redaction_retention_period",
    )
    user_ips_max_age_ms: int | None = duration_ms(
        "28d", "How long it is remembered from which address a user came.", key="user_ips_max_age"
    )
