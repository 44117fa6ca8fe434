"""Logging in.

Spec: https://spec.matrix.org/v1.19/client-server-api/#legacy-login
"""

from __future__ import annotations

from typing import Any

import msgspec

from config.tokens import LoginViaExistingSession
from homeserver.errors import Unrecognized
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.ids import UserID
from homeserver.users.interactive_auth import InteractiveAuth
from homeserver.users.login import AppserviceLogin, AppserviceLoginUnsupported, Credentials, Login
from homeserver.users.sessions import NewSession
from homeserver.users.short_tokens import ShortTokens


class LogIn(msgspec.Struct):
    """A login request; `user`, `medium` and `address` are what `identifier` was before r0.4."""

    type: str
    identifier: dict[str, Any] | None = None
    user: str | None = None
    medium: str | None = None
    address: str | None = None
    password: str | None = None
    token: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False

    def named(self) -> dict[str, Any] | None:
        """Who the client says it is."""
        if self.identifier is not None:
            return self.identifier
        if self.user is not None:
            return {"type": "m.id.user", "user": self.user}
        if self.medium is not None and self.address is not None:
            return {"type": "m.id.thirdparty", "medium": self.medium, "address": self.address}
        return None


class GenerateLoginToken(msgspec.Struct):
    """A request for a login token."""

    auth: dict[str, Any] | None = None


class LoginEndpoints:
    """Logging in, and helping another client of the same user to; without `is_for_users` only the latter."""

    def __init__(
        self,
        login: Login,
        interactive_auth: InteractiveAuth,
        short_tokens: ShortTokens,
        login_via_existing_session: LoginViaExistingSession,
        *,
        well_known: dict[str, Any] | None = None,
        is_for_users: bool = True,
    ) -> None:
        self._login = login
        self._auth = interactive_auth
        self._short_tokens = short_tokens
        self._config = login_via_existing_session
        self._well_known = well_known
        self._is_for_users = is_for_users

    @endpoint(
        "GET",
        "/_matrix/client/v3/login",
        auth=Auth.NONE,
        rate_limit=RateLimit("login_flows", by_address=True),
    )
    def get_login_flows(self) -> dict[str, Any]:
        """The ways in which users may log in.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login
        """
        if not self._is_for_users:
            raise Unrecognized("clients log in by OAuth 2.0 on this server")
        return {"flows": self._login.flows()}

    @endpoint(
        "POST",
        "/_matrix/client/v3/login",
        auth=Auth.NONE,
        rate_limit=RateLimit("login_address", by_address=True),
    )
    async def login(self, body: LogIn, request: Request) -> dict[str, Any]:
        """Begin a session.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login
        """
        if not self._is_for_users:
            if body.type == AppserviceLogin.type:
                raise AppserviceLoginUnsupported("this server logs nobody in like this")
            raise Unrecognized("clients log in by OAuth 2.0 on this server")
        wanted = NewSession.parse(
            body.device_id, body.initial_device_display_name, wants_refresh=body.refresh_token
        )
        credentials = Credentials(body.named(), body.password, body.token, request.access_token())
        answer = (await self._login.log_in(body.type, credentials, wanted)).answer()
        if self._well_known is not None:
            answer["well_known"] = self._well_known
        return answer

    @endpoint(
        "POST",
        "/_matrix/client/v1/login/get_token",
        rate_limit=RateLimit("login_token"),
        aliases=("/_matrix/client/unstable/org.matrix.msc3882/login/get_token",),
    )
    async def generate_login_token(self, who: Requester, body: GenerateLoginToken) -> dict[str, Any]:
        """A token with which one more client may log in as the user.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
        """
        if not self._config.enabled:
            raise Unrecognized("login tokens are switched off on this server")
        if not self._config.require_ui_auth:
            return await self._issue(who.user_id)
        async with self._auth.proven_by_user(
            "POST /login/get_token", body.auth, who.user_id, description="log in another device"
        ):
            return await self._issue(who.user_id)

    async def _issue(self, user_id: UserID) -> dict[str, Any]:
        token = await self._short_tokens.issue_login(user_id)
        return {"login_token": token, "expires_in_ms": self._short_tokens.login_lifetime_ms}
