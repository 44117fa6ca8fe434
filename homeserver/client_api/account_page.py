"""The page on which people look after their account.

Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management
"""

from __future__ import annotations

from typing import Any

from homeserver.client_api.oauth import form, parameters
from homeserver.client_api.oauth_pages import Page, to_login
from homeserver.client_api.pages import ACCOUNT, Cookies, page, redirect
from homeserver.errors import MatrixError, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import HtmlResponse
from homeserver.ids import UserID
from homeserver.users.oauth.browsers import Browser
from homeserver.users.oauth.self_service import SelfService
from homeserver.users.oauth.stage import Confirmations

PROFILE, DELETE, VIEW = "org.matrix.profile", "org.matrix.device_delete", "org.matrix.device_view"
LIST, DEACTIVATE = "org.matrix.devices_list", "org.matrix.account_deactivate"
RESET = "org.matrix.cross_signing_reset"

# COMPAT(clients before v1.18): what MSC4191 called the actions first.
_OLD = {"session_end": DELETE, "session_view": VIEW, "sessions_list": LIST, "profile": PROFILE}


class AccountPages:
    """Shows the account, and does what its owner asks for."""

    def __init__(self, service: SelfService, confirmations: Confirmations, cookies: Cookies) -> None:
        self._service = service
        self._confirmations = confirmations
        self._cookies = cookies

    @endpoint("GET", ACCOUNT, auth=Auth.NONE, rate_limit=RateLimit("oauth_pages", by_address=True))
    async def show_account(self, request: Request) -> Page:
        """The page for an action.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#account-management-url-parameters
        """
        browser = await self._cookies.browser(request)
        if browser.user_id is None:
            return to_login(request)
        return await self._show(browser, browser.user_id, parameters(request.query_string))

    @endpoint("POST", ACCOUNT, auth=Auth.NONE, rate_limit=RateLimit("oauth_pages", by_address=True))
    async def change_account(self, request: Request) -> Page:
        """Do what the form says.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management
        """
        given = form(request)
        browser = await self._cookies.browser(request)
        browser.check_form(given.get("form_token"))
        if browser.user_id is None:
            return to_login(request)
        try:
            done = await self._do(browser.user_id, given)
        except MatrixError as error:
            return await self._show(
                browser, browser.user_id, given, error=error.error, status=error.http_status
            )
        if done is None:
            return redirect(ACCOUNT)
        return page("message.html", browser, self._cookies, heading=done, text="You may close this page.")

    async def _do(self, user_id: UserID, given: dict[str, str]) -> str | None:
        """Do it; what to tell, if there is more to tell than the page itself does."""
        action = given.get("action")
        if action == PROFILE:
            await self._service.rename(user_id, given.get("displayname", ""))
            return None
        if action == DELETE:
            await self._service.log_out_device(user_id, given.get("device_id", ""))
            return None
        if action == DEACTIVATE:
            await self._service.deactivate(user_id, given.get("password", ""))
            return "Your account has been deactivated"
        if action == RESET:
            await self._confirmations.confirm(given.get("session", ""), user_id)
            return "Go on in your app"
        raise NotFound("there is no such action")

    async def _show(
        self, browser: Browser, user_id: UserID, given: dict[str, str], *, error: str = "", status: int = 200
    ) -> HtmlResponse:
        action = given.get("action", PROFILE)
        action = _OLD.get(action.removeprefix("org.matrix."), action)
        values: dict[str, Any] = {"view": "all", "devices": [], "session": None, "description": ""}
        try:
            if action == RESET:
                values |= await self._reset(user_id, given)
            elif action == DEACTIVATE:
                values["view"] = "deactivate"
            elif action in (VIEW, DELETE) and "device_id" in given:
                values["view"] = "device"
                values["devices"] = [await self._service.load_device(user_id, given["device_id"])]
        except MatrixError as refusal:
            error, status = refusal.error, refusal.http_status
            values["view"] = "all"
        if values["view"] == "all":
            values["devices"] = await self._service.list_devices(user_id)
        return page(
            "account.html",
            browser,
            self._cookies,
            status=status,
            error=error,
            displayname=await self._service.display_name(user_id),
            may_rename=self._service.may_rename,
            has_password=await self._service.has_password(user_id),
            **values,
        )

    async def _reset(self, user_id: UserID, given: dict[str, str]) -> dict[str, Any]:
        session = given.get("session")
        if session is None:
            return {"view": "reset"}
        description = await self._confirmations.describe(session, user_id)
        return {"view": "reset", "session": session, "description": description}
