"""The server's own pages: templates whose every value is escaped, a strict policy, and one secret cookie.

A page never says where to go next by itself: `local_path` lets only the server's own paths pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from homeserver.http.request import Request
from homeserver.http.responses import HTML_POLICY, HtmlResponse, Response
from homeserver.users.oauth.browsers import Browser, Browsers

_templates = Environment(
    autoescape=True,
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# With that beginning it is no other site's; whitespace, quotes, angle brackets and backslashes are in no URL.
_is_local_path = re.compile(r"/oauth2/[\x21\x23-\x26\x28-\x3B\x3D\x3F-\x5B\x5D-\x7E]*").fullmatch
_is_origin = re.compile(r"[a-z][a-z0-9+.-]*:(//[a-z0-9.-]+(:[0-9]+)?)?").fullmatch

ACCOUNT = "/oauth2/account"


def page(
    template: str, browser: Browser, cookies: Cookies, *, status: int = 200, **values: Any
) -> HtmlResponse:
    """A page made of a template."""
    html = _templates.get_template(template).render(
        form_token=browser.form_token, user_id=browser.user_id, **values
    )
    return HtmlResponse(html, status, headers=cookies.headers(browser))


def redirect(url: str, headers: Mapping[str, str] | None = None) -> Response:
    """Send the browser elsewhere, with a GET."""
    sent = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", **(headers or {})}
    return Response(303, b"", sent)


def local_path(path: str | None) -> str:
    """A path of this server to go on to; the account page if it is anything else."""
    return path if path is not None and _is_local_path(path) else ACCOUNT


def policy_towards(uri: str) -> str:
    """The policy of a page whose form ends with a redirect to `uri`: browsers hold those against it too."""
    parts = urlsplit(uri)
    origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
    if not _is_origin(origin):
        # No policy can name an IPv6 address.
        return HTML_POLICY.replace("form-action 'self'; ", "")
    return HTML_POLICY.replace("form-action 'self'", f"form-action 'self' {origin}")


class Cookies:
    """The one cookie: secret from scripts, other sites and, where there is TLS, from the network."""

    def __init__(self, browsers: Browsers, base_url: str) -> None:
        self._browsers = browsers
        is_secure = base_url.startswith("https:")
        self._name = "__Host-hearth" if is_secure else "hearth"
        self._attributes = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")

    async def browser(self, request: Request) -> Browser:
        """The browser that asks."""
        try:
            found = SimpleCookie(request.header("cookie") or "").get(self._name)
        except CookieError:
            found = None
        return await self._browsers.find(None if found is None else found.value)

    def headers(self, browser: Browser, *, changed: bool = False) -> dict[str, str]:
        """What tells the browser its secret, if it does not know it."""
        if not browser.is_new and not changed:
            return {}
        return {"Set-Cookie": f"{self._name}={browser.token}; {self._attributes}"}


def bare_page(template: str, **values: Any) -> HtmlResponse:
    """A page for a browser that need not be known."""
    return HtmlResponse(_templates.get_template(template).render(values))
