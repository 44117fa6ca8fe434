"""Bridges and bots that work beside the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.schema import setting


@dataclass(frozen=True, kw_only=True, slots=True)
class AppservicesConfig:
    """Application services."""

    app_service_config_files: tuple[Path, ...] = setting(
        (), "Their registration files.", kind="list of paths"
    )
    track_appservice_user_ips: bool = setting(False, "Whether it is remembered from where their users came.")
    track_puppeted_user_ips: bool = setting(False, "Whether it is, for administrators who act as a user.")
    use_appservice_legacy_authorization: bool = setting(
        False, "Whether tokens are also given in the query, for old services."
    )
