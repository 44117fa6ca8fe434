"""Presence: who is there, and whether one wants to be seen (IM API, part B.9)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from homeserver.errors import Forbidden, InvalidParam
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID, is_user_id
from homeserver.im.presence import OwnPresence, Status
from homeserver.im.users import Relations
from homeserver.im_api.classes import REST

MAX_ASKED = 100


class PresenceBody(msgspec.Struct):
    status: Status
    message: str | None = None


class PresenceQueryBody(msgspec.Struct):
    user_ids: Annotated[list[UserID], msgspec.Meta(max_length=MAX_ASKED)]


class ImPresenceEndpoints:
    """Serves presence."""

    def __init__(self, own: OwnPresence, relations: Relations) -> None:
        self._own = own
        self._relations = relations

    @endpoint("PUT", "/im/v1/users/me/presence", rate_limit=REST)
    async def put_presence(self, who: Requester, body: PresenceBody) -> Empty:
        """Say how one wants to be shown. Whoever is invisible is offline to everybody, and goes on hearing all."""
        await self._own.choose(who.user_id, body.status, body.message)
        return Empty()

    @endpoint("GET", "/im/v1/users/{user_id}/presence", rate_limit=REST)
    async def get_user_presence(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """Whether a friend is there."""
        found = await self._relations.presence(who.user_id, [user_id])
        if user_id not in found:
            raise Forbidden(f"the presence of {user_id} is not yours to see")
        return found[user_id]

    @endpoint("POST", "/im/v1/presence/query", rate_limit=REST)
    async def query_presence(self, who: Requester, body: PresenceQueryBody) -> dict[str, Any]:
        """Which of some people are there; those whose presence is not one's to see are left out."""
        for user_id in body.user_ids:
            if not is_user_id(user_id):
                raise InvalidParam(f"user_ids: {user_id!r} is not a user ID")
        found = await self._relations.presence(who.user_id, list(dict.fromkeys(body.user_ids)))
        return {"items": [{"user_id": user, **shown} for user, shown in found.items()]}
