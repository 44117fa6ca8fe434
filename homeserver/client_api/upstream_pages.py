"""The way to an upstream provider and back: what a browser is sent through.

Spec: https://spec.matrix.org/v1.19/client-server-api/#sso-client-loginauthentication
"""

from __future__ import annotations

from homeserver.client_api.oauth import form, parameters
from homeserver.client_api.oauth_pages import Page
from homeserver.client_api.pages import Cookies, local_path, page, redirect
from homeserver.errors import MatrixError
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.users.oauth.browsers import Browser, Browsers
from homeserver.users.upstream.logins import Arrived, UpstreamLogins

# Synapse's, so that a provider that knows the server already need not be told of another.
CALLBACK = "/_synapse/client/oidc/callback"
CHOOSE = "/oauth2/choose-name"
_LIMIT = RateLimit("oauth_pages", by_address=True)


class UpstreamPages:
    """Sends browsers to providers and takes them back."""

    def __init__(self, logins: UpstreamLogins, browsers: Browsers, cookies: Cookies) -> None:
        self._logins = logins
        self._browsers = browsers
        self._cookies = cookies

    @endpoint("GET", "/oauth2/sso/{idp_id}", auth=Auth.NONE, rate_limit=_LIMIT)
    async def begin_upstream_login(self, idp_id: str, request: Request) -> Page:
        """Send the browser to a provider."""
        browser = await self._cookies.browser(request)
        next_path = local_path(parameters(request.query_string).get("next"))
        try:
            url = await self._logins.begin(idp_id, browser, next_path)
        except MatrixError as error:
            return self._refused(browser, error)
        return redirect(url, self._cookies.headers(browser))

    @endpoint("GET", CALLBACK, auth=Auth.NONE, rate_limit=_LIMIT)
    async def finish_upstream_login(self, request: Request) -> Page:
        """Take a browser back from a provider."""
        browser = await self._cookies.browser(request)
        given = parameters(request.query_string)
        try:
            if "code" not in given:
                raise MatrixError(f"you were not logged in there: {given.get('error', 'unknown')}"[:200])
            arrived = await self._logins.finish(browser, given.get("state", ""), given["code"])
            return await self._go_on(browser, arrived)
        except MatrixError as error:
            return self._refused(browser, error)

    @endpoint("POST", CHOOSE, auth=Auth.NONE, rate_limit=_LIMIT)
    async def choose_upstream_name(self, request: Request) -> Page:
        """Take the name that a new user wishes for."""
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        try:
            arrived = await self._logins.choose(browser, given.get("state", ""), given.get("name", ""))
            return await self._go_on(
                browser, arrived, error="This name is taken, or has a character it cannot have."
            )
        except MatrixError as error:
            return self._refused(browser, error)

    async def _go_on(self, browser: Browser, arrived: Arrived, *, error: str = "") -> Page:
        if arrived.user_id is None:
            return page(
                "choose_name.html",
                browser,
                self._cookies,
                state=arrived.state,
                name=arrived.suggestion,
                error=error,
            )
        logged_in = await self._browsers.admit(browser, arrived.user_id)
        return redirect(arrived.next_path, self._cookies.headers(logged_in, changed=True))

    def _refused(self, browser: Browser, error: MatrixError) -> Page:
        return page(
            "message.html",
            browser,
            self._cookies,
            status=error.http_status,
            heading="You are not logged in",
            text=error.error,
        )
