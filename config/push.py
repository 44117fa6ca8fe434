"""Notifications on telephones."""

from __future__ import annotations

from dataclasses import dataclass

from config.schema import duration_ms, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class PushConfig:
    """Push: what gateways are told."""

    enabled: bool = setting(True, "Whether anything is pushed.")
    include_content: bool = setting(
        True, "Whether the message's content is told, unless the pusher wants less."
    )
    group_unread_count_by_room: bool = setting(True, "Whether the badge counts rooms instead of messages.")
    jitter_delay_ms: int = duration_ms("0s", "The longest random delay before a push.", key="jitter_delay")
    timeout_ms: int = duration_ms("30s", "How long a gateway may take.", key="timeout")
