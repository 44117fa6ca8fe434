"""Filters that clients keep on the server.

Spec: https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.ids import UserID
from homeserver.users.filters import Filters


class FilterEndpoints:
    """Uploading and reading filters."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters

    @endpoint("POST", "/_matrix/client/v3/user/{user_id}/filter", guests=True)
    async def define_filter(self, who: Requester, user_id: UserID, body: dict[str, Any]) -> dict[str, str]:
        """Keep a filter.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
        """
        _check_own(who, user_id)
        return {"filter_id": await self._filters.add(user_id, body)}

    @endpoint("GET", "/_matrix/client/v3/user/{user_id}/filter/{filter_id}", guests=True)
    async def get_filter(self, who: Requester, user_id: UserID, filter_id: str) -> RawJson:
        """A filter.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridfilterfilterid
        """
        _check_own(who, user_id)
        return RawJson(await self._filters.load(user_id, filter_id))


def _check_own(who: Requester, user_id: UserID) -> None:
    if who.user_id != user_id:
        raise Forbidden("you only have filters of your own")
