"""The fallback pages of user-interactive authentication.

Spec: https://spec.matrix.org/v1.19/client-server-api/#fallback
"""

from __future__ import annotations

import msgspec

from homeserver.client_api.uia_pages import done_page, form_page
from homeserver.errors import MatrixError, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.params import parse_query
from homeserver.http.request import Request
from homeserver.http.responses import HtmlResponse
from homeserver.users.fallback import Form
from homeserver.users.interactive_auth import InteractiveAuth

_PATH = "/_matrix/client/v3/auth/{stage_type}/fallback/web"


class SessionName(msgspec.Struct):
    """The session that the page is for."""

    session: str


class FallbackEndpoints:
    """Shows a stage's form, and takes it."""

    def __init__(self, interactive_auth: InteractiveAuth) -> None:
        self._auth = interactive_auth

    @endpoint("GET", _PATH, auth=Auth.NONE, rate_limit=RateLimit("uia_fallback", by_address=True))
    async def show_fallback(self, stage_type: str, query: SessionName) -> HtmlResponse:
        """The page on which a stage is passed.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#fallback
        """
        if await self._is_done(stage_type, query.session):
            return done_page()
        return form_page(await self._form(stage_type, query.session), query.session)

    @endpoint("POST", _PATH, auth=Auth.NONE, rate_limit=RateLimit("uia_fallback", by_address=True))
    async def submit_fallback(self, stage_type: str, query: SessionName, request: Request) -> HtmlResponse:
        """Pass a stage with what the form holds.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#fallback
        """
        form = await self._form(stage_type, query.session)
        if await self._is_done(stage_type, query.session):
            return done_page()
        fields = dict(parse_query(request.body.decode("utf-8", "replace")))
        try:
            await self._auth.attempt(
                query.session, stage_type, {**fields, "type": stage_type, "session": query.session}
            )
        except MatrixError as error:
            return form_page(form, query.session, error=error.error)
        return done_page()

    async def _is_done(self, stage_type: str, session_id: str) -> bool:
        session = await self._auth.load_session(session_id)
        return any(stage == stage_type for stage, _ in session.completed)

    async def _form(self, stage_type: str, session_id: str) -> Form:
        session = await self._auth.load_session(session_id)
        stage = self._auth.stages.get(stage_type)
        form = None if stage is None else await stage.fallback_form(session)
        if form is None:
            raise NotFound(f"there is no page for {stage_type}")
        return form
