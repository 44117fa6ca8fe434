"""The page on which people make an account while a client waits to be let in."""

from __future__ import annotations

from homeserver.client_api.oauth import form, parameters
from homeserver.client_api.oauth_pages import SIGN_UP, Page
from homeserver.client_api.pages import Cookies, local_path, page, redirect
from homeserver.errors import MatrixError, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import HtmlResponse
from homeserver.users.oauth.browsers import Browser, Browsers
from homeserver.users.oauth.sign_up import SignUp


class SignUpPages:
    """Registration in the browser."""

    def __init__(self, sign_up: SignUp, browsers: Browsers, cookies: Cookies) -> None:
        self._sign_up = sign_up
        self._browsers = browsers
        self._cookies = cookies

    @endpoint("GET", SIGN_UP, auth=Auth.NONE, rate_limit=RateLimit("oauth_pages", by_address=True))
    async def show_sign_up(self, request: Request) -> Page:
        """The form for a new account."""
        browser = await self._cookies.browser(request)
        next_path = local_path(parameters(request.query_string).get("next"))
        if browser.user_id is not None:
            return redirect(next_path)
        return self._form(browser, next_path)

    @endpoint("POST", SIGN_UP, auth=Auth.NONE, rate_limit=RateLimit("registration", by_address=True))
    async def sign_up(self, request: Request) -> Page:
        """Make the account, and go on to where the user came from."""
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        next_path, user = local_path(given.get("next")), given.get("user", "").strip()
        try:
            user_id = await self._sign_up.register(
                user,
                given.get("password", ""),
                token=given.get("token", "").strip(),
                accepts_terms=given.get("accept") == "yes",
            )
        except MatrixError as error:
            return self._form(browser, next_path, user=user, error=error.error, status=error.http_status)
        return redirect(
            next_path, self._cookies.headers(await self._browsers.admit(browser, user_id), changed=True)
        )

    def _form(
        self, browser: Browser, next_path: str, *, user: str = "", error: str = "", status: int = 200
    ) -> HtmlResponse:
        if not self._sign_up.is_open:
            raise NotFound("accounts are not made on this page")
        return page(
            "sign_up.html",
            browser,
            self._cookies,
            status=status,
            next=next_path,
            user=user,
            error=error,
            needs_token=self._sign_up.needs_token,
            documents=self._sign_up.documents,
        )
