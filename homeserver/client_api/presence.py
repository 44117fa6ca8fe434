"""Presence. Spec: https://spec.matrix.org/v1.19/client-server-api/#presence"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import Forbidden, NotFound
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID
from homeserver.presence.presence import Presence
from homeserver.runtime.clock import Clock
from homeserver.sync.presence_section import PresenceAudience


class PresenceBody(msgspec.Struct):
    presence: Literal["online", "offline", "unavailable"]
    status_msg: str | None = None


class PresenceEndpoints:
    """Serves presence."""

    def __init__(self, presence: Presence, audience: PresenceAudience, clock: Clock) -> None:
        self._presence = presence
        self._audience = audience
        self._clock = clock

    @endpoint(
        "PUT", "/_matrix/client/v3/presence/{user_id}/status", rate_limit=RateLimit("presence"), guests=True
    )
    async def set_presence(self, who: Requester, user_id: UserID, body: PresenceBody) -> Empty:
        """Say whether one is there, and something about it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3presenceuseridstatus
        """
        if who.user_id != user_id:
            raise Forbidden("you can only set your own presence")
        await self._presence.choose(user_id, body.presence, body.status_msg)
        return Empty()

    @endpoint("GET", "/_matrix/client/v3/presence/{user_id}/status", guests=True)
    async def get_presence(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """Whether somebody is there.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3presenceuseridstatus
        """
        if who.user_id != user_id and not await self._audience.may_see(who.user_id, user_id):
            raise Forbidden(f"you share no room with {user_id}")
        if not self._presence.enabled:
            raise NotFound("this server tells nobody's presence")
        state = await self._presence.load(user_id)
        return state.content(self._clock.now_ms())
