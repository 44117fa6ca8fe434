"""Calls: TURN servers and MatrixRTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.schema import duration_ms, part, secret, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnConfig:
    """TURN: servers for one-to-one calls."""

    turn_uris: tuple[str, ...] = setting((), "The servers, such as `turn:turn.example.org?transport=udp`.")
    turn_shared_secret: str | None = secret("The secret shared with them.")
    turn_username: str | None = setting(None, "A fixed name, where there is no shared secret.")
    turn_password: str | None = secret("A fixed password, where there is no shared secret.")
    turn_user_lifetime_ms: int = duration_ms("1h", "How long credentials live.", key="turn_user_lifetime")
    turn_allow_guests: bool = setting(True, "Whether guests may have them.")


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixRtcConfig:
    """Group calls (MatrixRTC)."""

    transports: tuple[Mapping[str, Any], ...] = setting(
        (),
        "What clients may use, such as `{type: livekit, livekit_service_url: https://rtc.example.org}`; "
        "also shown in the well-known file.",
    )

    def __post_init__(self) -> None:
        if any(not isinstance(one.get("type"), str) for one in self.transports):
            raise ValueError("transports: each must have a type, such as livekit")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallsConfig:
    """Calls."""

    matrix_rtc: MatrixRtcConfig = part(MatrixRtcConfig(), "Group calls.")
