"""Proof of identity for other services.

Spec: https://spec.matrix.org/v1.19/client-server-api/#openid
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.ids import UserID, domain_of
from homeserver.users.short_tokens import OPENID_LIFETIME_MS, ShortTokens


class OpenIDEndpoints:
    """OpenID tokens."""

    def __init__(self, short_tokens: ShortTokens) -> None:
        self._short_tokens = short_tokens

    @endpoint(
        "POST", "/_matrix/client/v3/user/{user_id}/openid/request_token", rate_limit=RateLimit("openid")
    )
    async def request_open_id_token(
        self, who: Requester, user_id: UserID, body: dict[str, Any]
    ) -> dict[str, Any]:
        """A token by which a service may ask this server who the user is.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#post_matrixclientv3useruseridopenidrequest_token
        """
        if who.user_id != user_id:
            raise Forbidden("you can only prove to be yourself")
        return {
            "access_token": await self._short_tokens.issue_openid(user_id),
            "token_type": "Bearer",
            "matrix_server_name": domain_of(user_id),
            "expires_in": OPENID_LIFETIME_MS // 1000,
        }
