"""The end points that renew and end sessions, and say whose they are."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.users.sessions import Sessions


class Refresh(msgspec.Struct):
    """A request for new tokens."""

    refresh_token: str


class TokenEndpoints:
    """Refreshing, logging out, and asking who one is."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @endpoint(
        "POST",
        "/_matrix/client/v3/refresh",
        auth=Auth.NONE,
        rate_limit=RateLimit("refresh", by_address=True),
        aliases=("/_matrix/client/v1/refresh",),
    )
    async def refresh(self, body: Refresh) -> dict[str, Any]:
        """Exchange a refresh token for a new access token and the next refresh token.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh
        """
        answer = (await self._sessions.refresh(body.refresh_token)).answer()
        return {
            key: answer[key] for key in ("access_token", "refresh_token", "expires_in_ms") if key in answer
        }

    @endpoint("POST", "/_matrix/client/v3/logout", guests=True, locked=True)
    async def logout(self, who: Requester) -> Empty:
        """End the session that asks; its device goes with it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout
        """
        await self._sessions.end(who)
        return Empty()

    @endpoint("POST", "/_matrix/client/v3/logout/all", guests=True, locked=True)
    async def logout_all(self, who: Requester) -> Empty:
        """End every session of the user.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall
        """
        await self._sessions.end_all(who.user_id)
        return Empty()

    @endpoint("GET", "/_matrix/client/v3/account/whoami", rate_limit=RateLimit("whoami"), guests=True)
    def get_token_owner(self, who: Requester) -> dict[str, Any]:
        """Who the access token belongs to.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami
        """
        answer: dict[str, Any] = {"user_id": who.user_id, "is_guest": who.is_guest}
        if who.device_id is not None:
            answer["device_id"] = who.device_id
        return answer
