"""The pages on which people log in and let clients use their account.

Spec: https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from homeserver.client_api.oauth import form, parameters
from homeserver.client_api.pages import Cookies, local_path, page, policy_towards, redirect
from homeserver.errors import MatrixError, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import HtmlResponse, Response
from homeserver.users.oauth.authorization import Authorizations, Target
from homeserver.users.oauth.browsers import Browser, Browsers
from homeserver.users.oauth.device_grant import DeviceGrants
from homeserver.users.oauth.errors import OAuthError

_PAGES = RateLimit("oauth_pages", by_address=True)
LOGIN = "/oauth2/login"
SIGN_UP = "/oauth2/create"
Page = HtmlResponse | Response


def to_login(request: Request, where: str = LOGIN) -> Response:
    """Send somebody to log in first, or to make an account, and then back."""
    here = f"{request.path}?{request.query_string}" if request.query_string else request.path
    return redirect(f"{where}?next={quote(here, safe='')}")


class AuthorizationPages:
    """Asks the user whether a client may use their account."""

    def __init__(self, authorizations: Authorizations, cookies: Cookies) -> None:
        self._authorizations = authorizations
        self._cookies = cookies

    @endpoint("GET", "/oauth2/authorize", auth=Auth.NONE, rate_limit=_PAGES)
    async def show_authorization(self, request: Request) -> Page:
        """The page that asks.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow
        """
        return await self._answer(request, None)

    @endpoint("POST", "/oauth2/authorize", auth=Auth.NONE, rate_limit=_PAGES)
    async def decide_authorization(self, request: Request) -> Page:
        """What the user has decided.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow
        """
        return await self._answer(request, form(request))

    async def _answer(self, request: Request, decided: dict[str, str] | None) -> Page:
        browser = await self._cookies.browser(request)
        try:
            asked = parameters(request.query_string)
            target = await self._authorizations.find_target(asked)
        except OAuthError as error:
            return page(
                "message.html",
                browser,
                self._cookies,
                status=400,
                heading="This link does not work",
                text=f"The app that sent you here has made a mistake: {error.error}.",
            )
        try:
            wanted = self._authorizations.check(target, asked)
        except OAuthError as error:
            return redirect(target.refusal(error))
        if browser.user_id is None:
            return to_login(request, SIGN_UP if wanted.wants_registration else LOGIN)
        if decided is None:
            return self._consent(request, browser, target, wanted.scope.device_id)
        browser.check_form(decided.get("form_token"))
        if decided.get("decision") != "allow":
            return redirect(target.refusal(OAuthError("access_denied", "the user has refused")))
        return redirect(await self._authorizations.grant(target, wanted, browser.user_id))

    def _consent(self, request: Request, browser: Browser, target: Target, device_id: str) -> HtmlResponse:
        parts = urlsplit(target.redirect_uri)
        answer = page(
            "consent.html",
            browser,
            self._cookies,
            client=target.client,
            device_id=device_id,
            redirect_host=parts.hostname or f"the app {parts.scheme}",
            user_code=None,
            next=f"{request.path}?{request.query_string}",
        )
        answer.policy = policy_towards(target.redirect_uri)
        return answer


class LoginPages:
    """Logging in and out in the browser."""

    def __init__(
        self,
        browsers: Browsers,
        cookies: Cookies,
        *,
        has_password: bool,
        has_registration: bool,
        providers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._browsers = browsers
        self._cookies = cookies
        self._has_password = has_password
        self._has_registration = has_registration
        self._providers = tuple(providers)

    @endpoint("GET", LOGIN, auth=Auth.NONE, rate_limit=_PAGES)
    async def show_browser_login(self, request: Request) -> Page:
        """The form for name and password."""
        browser = await self._cookies.browser(request)
        next_path = local_path(parameters(request.query_string).get("next"))
        if browser.user_id is not None:
            return redirect(next_path)
        return self._form(browser, next_path)

    @endpoint("POST", LOGIN, auth=Auth.NONE, rate_limit=RateLimit("login_address", by_address=True))
    async def log_in_browser(self, request: Request) -> Page:
        """Log in, and go on to where the user came from."""
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        next_path, user = local_path(given.get("next")), given.get("user", "").strip()
        try:
            logged_in = await self._browsers.log_in(browser, user, given.get("password", ""))
        except MatrixError as error:
            return self._form(browser, next_path, user=user, error=error.error, status=error.http_status)
        return redirect(next_path, self._cookies.headers(logged_in, changed=True))

    @endpoint("POST", "/oauth2/logout", auth=Auth.NONE, rate_limit=_PAGES)
    async def log_out_browser(self, request: Request) -> Page:
        """Log out in this browser."""
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        next_path = local_path(given.get("next"))
        return redirect(next_path, self._cookies.headers(await self._browsers.log_out(browser)))

    def _form(
        self, browser: Browser, next_path: str, *, user: str = "", error: str = "", status: int = 200
    ) -> HtmlResponse:
        return page(
            "login.html",
            browser,
            self._cookies,
            status=status,
            next=next_path,
            user=user,
            error=error,
            has_password=self._has_password,
            has_registration=self._has_registration,
            providers=self._providers,
        )


class LinkPages:
    """Where the user of a device without a browser types its code."""

    def __init__(self, devices: DeviceGrants, cookies: Cookies) -> None:
        self._devices = devices
        self._cookies = cookies

    @endpoint("GET", "/oauth2/link", auth=Auth.NONE, rate_limit=RateLimit("oauth_link", by_address=True))
    async def show_link(self, request: Request) -> Page:
        """The form for the code, and then the question.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow
        """
        browser = await self._cookies.browser(request)
        user_code = parameters(request.query_string).get("user_code")
        if browser.user_id is None:
            return to_login(request)
        if user_code is None:
            return page("link.html", browser, self._cookies, error="")
        try:
            asking = await self._devices.find(user_code)
        except NotFound as error:
            return page("link.html", browser, self._cookies, status=404, error=error.error)
        return page(
            "consent.html",
            browser,
            self._cookies,
            client=asking.client,
            device_id=asking.scope.device_id,
            redirect_host=None,
            user_code=asking.user_code,
            next=f"{request.path}?user_code={asking.user_code}",
        )

    @endpoint("POST", "/oauth2/link", auth=Auth.NONE, rate_limit=RateLimit("oauth_link", by_address=True))
    async def decide_link(self, request: Request) -> Page:
        """What the user has decided.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow
        """
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        if browser.user_id is None:
            return to_login(request)
        granted = given.get("decision") == "allow"
        try:
            asking = await self._devices.find(given.get("user_code", ""))
            await self._devices.decide(asking, browser.user_id, granted=granted)
        except NotFound as error:
            return page("link.html", browser, self._cookies, status=404, error=error.error)
        heading = "Your device is logged in" if granted else "Your device was refused"
        text = "You may close this page and go back to it."
        return page("message.html", browser, self._cookies, heading=heading, text=text)
