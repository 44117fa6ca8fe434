"""What this server tells of itself under `/.well-known/matrix/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.schema import setting

_ED25519_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SupportContact:
    """Somebody to turn to (MSC1929)."""

    role: Literal["m.role.admin", "m.role.security", "m.role.dpo", "m.role.moderator"] = setting(
        "m.role.admin", "What for."
    )
    matrix_id: str | None = setting(None, "Their user ID.")
    email_address: str | None = setting(None, "Their e-mail address.")

    def __post_init__(self) -> None:
        if self.matrix_id is None and self.email_address is None:
            raise ValueError("a contact has a matrix_id or an email_address")


@dataclass(frozen=True, kw_only=True, slots=True)
class WellKnownConfig:
    """Well-known files: that of clients is served once `public_baseurl` is set."""

    serve_server_wellknown: bool = setting(
        False, "Whether other servers are told to use this server's `public_baseurl` (on its port, or 443)."
    )
    extra_well_known_client_content: Mapping[str, Any] = setting({}, "More keys of the client's file.")
    support_contacts: tuple[SupportContact, ...] = setting((), "Whom to turn to.")
    support_page: str | None = setting(None, "A page that helps.")
    policy_server_key: str | None = setting(
        None,
        "The Ed25519 public key (unpadded base64) of the policy server that runs under this server's name.",
    )

    def __post_init__(self) -> None:
        if self.policy_server_key is not None and not _ED25519_KEY.fullmatch(self.policy_server_key):
            raise ValueError("policy_server_key is 32 bytes as unpadded base64")
