"""What this server can do for the user who asks.

Spec: https://spec.matrix.org/v1.19/client-server-api/#capabilities-negotiation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from homeserver.events.room_versions import ROOM_VERSIONS
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.users.accounts import Accounts
from homeserver.users.profiles import AVATAR_URL, DISPLAY_NAME, Profiles


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """What the configuration allows; `extra` is merged in for what lies elsewhere."""

    default_room_version: str
    change_password: bool = True
    threepid_changes: bool = True
    get_login_token: bool = True
    forget_forced_upon_leave: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class CapabilityEndpoints:
    """Capabilities."""

    def __init__(self, server: ServerCapabilities, profiles: Profiles, accounts: Accounts) -> None:
        self._server = server
        self._profiles = profiles
        self._accounts = accounts

    @endpoint("GET", "/_matrix/client/v3/capabilities", rate_limit=RateLimit("capabilities"), guests=True)
    async def get_capabilities(self, who: Requester) -> dict[str, Any]:
        """What the server can do.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities
        """
        server, profile_fields = self._server, self._profiles.capability()
        may_change_password = server.change_password and await self._accounts.has_password(who.user_id)
        capabilities: dict[str, Any] = {
            "m.room_versions": {
                "default": server.default_room_version,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.change_password": {"enabled": may_change_password},
            "m.set_displayname": {"enabled": self._profiles.may_change(DISPLAY_NAME)},
            "m.set_avatar_url": {"enabled": self._profiles.may_change(AVATAR_URL)},
            "m.3pid_changes": {"enabled": server.threepid_changes},
            "m.get_login_token": {"enabled": server.get_login_token and not who.is_guest},
            "m.forget_forced_upon_leave": {"enabled": server.forget_forced_upon_leave},
            "m.profile_fields": profile_fields,
            # COMPAT(Cinny): reads the name that the capability had before v1.16.
            "uk.tcpip.msc4133.profile_fields": profile_fields,
        }
        if who.is_admin:
            capabilities["m.account_moderation"] = {"lock": True, "suspend": True}
        return {"capabilities": {**capabilities, **server.extra}}
