"""Settings that are declared and parsed, but that no part of the server heeds yet.

The reference says so of each, and the command warns of those that a file sets; a test holds the list to the
code. Whoever makes a setting work takes it off the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from config.config import Config
from config.parsing import key_of
from config.schema import declared

PENDING = frozenset(
    {
        "appservices.track_appservice_user_ips",
        "appservices.track_puppeted_user_ips",
        "email.invite_client_location",
        "email.notif_for_new_users",
        "federation.federation.max_long_retries",
        "federation.federation.max_long_retry_delay_ms",
        "federation.federation.max_short_retries",
        "federation.federation.max_short_retry_delay_ms",
        "federation.federation_metrics_domains",
        "federation.http_proxy",
        "identity.jwt_config.display_name_claim",
        "identity.oidc_providers.backchannel_logout_enabled",
        "identity.oidc_providers.update_profile_information",
        "identity.oidc_providers.user_mapping_provider.config.picture_template",
        "identity.sso.update_profile_information",
        "keeping",
        "media.allowed_avatar_mimetypes",
        "media.max_avatar_size",
        "presence.include_offline_users_on_sync",
        "rate_limits.federation_rr_transactions_per_room_per_second",
        "rate_limits.rc_federation.concurrent",
        "rooms.exclude_rooms_from_sync",
        "rooms.filter_timeline_limit",
        "rooms.forgotten_room_retention_period_ms",
        "server.admin_contact",
        "server.cluster_secret",
    }
)
"""Fields of `Config`, each with all that is in it."""


def is_pending(path: str) -> bool:
    """Whether a field, by its path from `Config`, has no effect yet."""
    parts = path.split(".")
    return any(".".join(parts[:length]) in PENDING for length in range(1, len(parts) + 1))


def unheeded(raw: Mapping[str, Any]) -> Iterator[str]:
    """The settings that a file sets in vain."""
    hints = get_type_hints(Config)
    for section in fields(Config):
        is_flat = declared(section).is_flat
        inside = raw if is_flat else raw.get(key_of(section))
        if not isinstance(inside, Mapping):
            continue
        for one in fields(hints[section.name]):
            key = key_of(one)
            if (key in inside or f"{key}_path" in inside) and is_pending(f"{section.name}.{one.name}"):
                yield key if is_flat else f"{key_of(section)}.{key}"
