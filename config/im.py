"""The IM API (`/im/v1`) and the web page that uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.schema import duration_ms, secret, setting

MIN_SECRET_BYTES = 32
"""As many as the hash that signs has: with fewer, secrets can be guessed from a token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImConfig:
    """IM: friends, conversations, groups and moments, under `/im/v1`."""

    enabled: bool = setting(True, "Whether `/im/v1` is served.")
    room_version: str = setting(
        "11", "The version of conversations and groups: one whose owner can step down."
    )
    moments_room_version: str = setting("12", "The version of moments rooms.")
    encrypted: bool = setting(False, "Whether new conversations and groups are encrypted end to end.")
    force_disable_encryption: bool = setting(
        False, "Whether clients are told (`io.element.e2ee`) that they cannot encrypt."
    )
    request_lifetime_ms: int = duration_ms("7d", "How long a friend request waits.", key="request_lifetime")
    recall_window_ms: int = duration_ms("2m", "How long a message can be recalled.", key="recall_window")
    presence_scope: Literal["friends", "rooms", "nobody"] = setting(
        "friends", "Who is told by `/im/v1` who is online: friends, or everybody with whom one shares a room."
    )
    delivered_receipts: bool = setting(True, "Whether other servers that do the same are told of deliveries.")
    token_format: Literal["opaque", "jwt"] = setting(
        "opaque", "What access tokens given out by `/im/v1` are."
    )
    jwt_secret: str | None = secret("What signs those that are JWTs: 32 bytes or more.")
    access_token_lifetime_ms: int = duration_ms(
        "1d", "How long such a token lives; using it prolongs the session.", key="access_token_lifetime"
    )
    refresh_token_lifetime_ms: int = duration_ms(
        "30d", "How long a session lives that is not used.", key="refresh_token_lifetime"
    )
    email_code_lifetime_ms: int = duration_ms(
        "10m", "How long an e-mail code works.", key="email_code_lifetime"
    )
    email_code_resend_after_ms: int = duration_ms(
        "60s", "When another may be asked for.", key="email_code_resend_after"
    )
    email_code_attempts: int = setting(5, "How many tries a code has.")
    max_group_members: int = setting(10_000, "The most members of a group.")
    invite_link_max_lifetime_ms: int = duration_ms(
        "30d", "The longest that an invite link works.", key="invite_link_max_lifetime"
    )

    @property
    def signs_tokens(self) -> bool:
        return self.token_format == "jwt"  # noqa: S105 - a format's name

    def __post_init__(self) -> None:
        if self.email_code_attempts < 1:
            raise ValueError("email_code_attempts must be at least 1")
        if self.signs_tokens and not self.jwt_secret:
            raise ValueError("jwt_secret must be set when token_format is jwt")
        if self.jwt_secret is not None and len(self.jwt_secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"jwt_secret must have at least {MIN_SECRET_BYTES} bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebClientConfig:
    """Web page: what is at `/`."""

    enabled: bool = setting(True, "Whether it is served.")
    redirect: str | None = setting(None, "Where `/` leads instead.")
