"""What rooms are like here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.schema import duration_ms, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomsConfig:
    """Rooms."""

    default_room_version: str = setting("12", "The version of new rooms.", kind="room version")
    encryption_enabled_by_default_for_room_type: Literal["all", "invite", "off"] = setting(
        "off", "Which new rooms are encrypted unless their creator says otherwise."
    )
    default_power_level_content_override: Mapping[str, Any] = setting(
        {}, "For each preset of `/createRoom`, content that replaces keys of the new room's power levels."
    )
    block_non_admin_invites: bool = setting(False, "Whether only administrators may invite.")
    enable_search: bool = setting(True, "Whether messages can be searched.")
    filter_timeline_limit: int = setting(100, "The most events of a timeline that one `/sync` gives.")
    exclude_rooms_from_sync: tuple[str, ...] = setting((), "Rooms that are hidden from `/sync`.")
    forget_rooms_on_leave: bool = setting(False, "Whether leaving a room forgets it.")
    forgotten_room_retention_period_ms: int | None = duration_ms(
        None,
        "How long after its last local member forgot it a room is kept. Without it, for ever.",
        key="forgotten_room_retention_period",
    )
    max_event_delay_duration_ms: int = duration_ms(
        "1d", "The longest that an event may be delayed.", key="max_event_delay_duration"
    )
