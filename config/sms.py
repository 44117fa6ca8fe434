"""Text messages: how they leave."""

from __future__ import annotations

from dataclasses import dataclass

from config.schema import secret, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class SmsConfig:
    """Text messages: without `gateway_url` none is sent, and nothing that needs one is offered."""

    gateway_url: str | None = setting(
        None, "Where messages are posted to, as JSON with `to` (the number with its plus) and `text`."
    )
    gateway_token: str | None = secret("The bearer token that the gateway asks for.")
