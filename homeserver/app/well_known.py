"""The content of the well-known files, from the configuration."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from config import Config
from config.well_known import SupportContact
from homeserver.app.room_core import policy_rules


def client_file(config: Config) -> dict[str, Any] | None:
    """What clients read; None without a public address to point at."""
    if config.server.public_baseurl is None:
        return None
    content: dict[str, Any] = {"m.homeserver": {"base_url": f"{config.server.public_baseurl}/"}}
    if config.identity.default_identity_server is not None:
        content["m.identity_server"] = {"base_url": config.identity.default_identity_server}
    if config.calls.matrix_rtc.transports:
        content["org.matrix.msc4143.rtc_foci"] = list(config.calls.matrix_rtc.transports)
    if config.im.force_disable_encryption:
        content["io.element.e2ee"] = {"default": False, "force_disable": True}
    return {**content, **config.well_known.extra_well_known_client_content}


def server_file(config: Config) -> str | None:
    """Where other servers are sent: the public address with its port."""
    if not config.well_known.serve_server_wellknown or config.server.public_baseurl is None:
        return None
    parts = urlsplit(config.server.public_baseurl)
    return f"{parts.hostname}:{parts.port or 443}"


def support_file(config: Config) -> dict[str, Any] | None:
    """Whom to turn to; None if nobody is named."""
    content: dict[str, Any] = {}
    if config.well_known.support_contacts:
        content["contacts"] = [_contact(one) for one in config.well_known.support_contacts]
    if config.well_known.support_page is not None:
        content["support_page"] = config.well_known.support_page
    return content or None


def policy_file(config: Config) -> dict[str, Any] | None:
    """The key of the policy server that runs under this server's name; None if none does."""
    key = config.well_known.policy_server_key or policy_rules(config).public_base64
    return None if key is None else {"public_keys": {"ed25519": key}}


def _contact(contact: SupportContact) -> dict[str, str]:
    ways = {"matrix_id": contact.matrix_id, "email_address": contact.email_address}
    return {"role": contact.role, **{name: way for name, way in ways.items() if way is not None}}
