"""Signing events for rooms that have named this server their policy server.

Spec: https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from __future__ import annotations

from typing import Any

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.ids import ServerName
from homeserver.rooms.policy import RoomPolicies
from homeserver.rooms.registry import Rooms


class PolicyEndpoints:
    """Asks the operator's rules."""

    def __init__(self, rooms: Rooms, policies: RoomPolicies) -> None:
        self._rooms = rooms
        self._policies = policies

    @endpoint(
        "POST",
        "/_matrix/policy/v1/sign",
        auth=Auth.FEDERATION,
        rate_limit=RateLimit("federation", by_address=True),
    )
    async def ask_policy_server_to_sign(self, origin: ServerName, body: dict[str, Any]) -> dict[str, Any]:
        """Let an event pass, or not.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixpolicyv1sign
        """
        return await self._policies.sign_for(self._rooms, origin, body)
