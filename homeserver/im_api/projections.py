"""What administrators do with the tables that lists are read from."""

from __future__ import annotations

from typing import Any

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.requester import Requester
from homeserver.im.follower import Follower
from homeserver.im_api.classes import REST


class ProjectionEndpoints:
    """Friends, conversations and moments are read from tables that rooms and account data fill."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    @endpoint("POST", "/im/v1/admin/projections/rebuild", auth=Auth.ADMIN, rate_limit=REST)
    async def rebuild_projections(self, who: Requester) -> dict[str, Any]:
        """Make the tables anew, while everything goes on; answered when it is done, with how many rooms were read."""
        return {"rooms": await self._follower.rebuild()}
