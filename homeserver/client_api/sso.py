"""Single sign-on for clients that do not speak OAuth: the browser logs in here, and takes a login token back.

Spec: https://spec.matrix.org/v1.19/client-server-api/#sso-client-loginauthentication
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from homeserver.client_api.oauth import form
from homeserver.client_api.oauth_pages import Page, to_login
from homeserver.client_api.pages import Cookies, page, policy_towards, redirect
from homeserver.errors import InvalidParam, NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.ids import UserID
from homeserver.users.short_tokens import ShortTokens

CONTINUE = "/oauth2/sso"
_LIMIT = RateLimit("oauth_pages", by_address=True)
_V3 = "/_matrix/client/v3/login/sso/redirect"

# Schemes that would run in this server's name, or read the user's disk.
_DANGEROUS = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"}
)
_is_uri = re.compile(
    r"[a-z][a-z0-9+.-]*:[\x21\x23-\x26\x28-\x3B\x3D\x3F-\x5B\x5D\x5F\x61-\x7A\x7E]+", re.IGNORECASE
).fullmatch


class SsoQuery(msgspec.Struct, rename="camel"):
    """Where the client waits for the token."""

    redirect_url: str
    action: Literal["login", "register"] | None = None


class SsoEndpoints:
    """The way through the browser."""

    def __init__(
        self,
        cookies: Cookies,
        tokens: ShortTokens,
        *,
        trusted: Sequence[str] = (),
        providers: Collection[str] = (),
    ) -> None:
        self._cookies = cookies
        self._tokens = tokens
        self._trusted = tuple(trusted)
        self._providers = frozenset(providers)

    @endpoint("GET", _V3, auth=Auth.NONE, rate_limit=_LIMIT)
    def redirect_to_sso(self, query: SsoQuery) -> Response:
        """Send the browser to where its user logs in.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirect
        """
        target = check_target(query.redirect_url)
        headers = {
            "Location": f"{CONTINUE}?redirectUrl={quote(target, safe='')}",
            "Cache-Control": "no-store",
        }
        return Response(302, b"", headers)

    @endpoint("GET", f"{_V3}/{{idp_id}}", auth=Auth.NONE, rate_limit=_LIMIT)
    def redirect_to_idp(self, idp_id: str, query: SsoQuery) -> Response:
        """Send the browser to another provider.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirectidpid
        """
        target = check_target(query.redirect_url)
        if idp_id not in self._providers:
            raise NotFound(f"there is no identity provider {idp_id}")
        back = f"{CONTINUE}?redirectUrl={quote(target, safe='')}"
        headers = {
            "Location": f"{CONTINUE}/{quote(idp_id, safe='')}?next={quote(back, safe='')}",
            "Cache-Control": "no-store",
        }
        return Response(302, b"", headers)

    @endpoint("GET", CONTINUE, auth=Auth.NONE, rate_limit=_LIMIT)
    async def show_sso(self, query: SsoQuery, request: Request) -> Page:
        """The page that asks, once the user is logged in, whether the client may be."""
        target = check_target(query.redirect_url)
        browser = await self._cookies.browser(request)
        if browser.user_id is None:
            return to_login(request)
        if any(target.startswith(prefix) for prefix in self._trusted if prefix.endswith("/")):
            return redirect(await self._with_token(target, browser.user_id))
        parts = urlsplit(target)
        answer = page(
            "sso.html",
            browser,
            self._cookies,
            host=parts.hostname or parts.scheme,
            target=target,
            next=f"{request.path}?{request.query_string}",
        )
        answer.policy = policy_towards(target)
        return answer

    @endpoint("POST", CONTINUE, auth=Auth.NONE, rate_limit=_LIMIT)
    async def continue_sso(self, query: SsoQuery, request: Request) -> Page:
        """Take a login token back to the client."""
        target = check_target(query.redirect_url)
        browser = await self._cookies.browser(request)
        browser.check_form(form(request).get("form_token"))
        if browser.user_id is None:
            return to_login(request)
        return redirect(await self._with_token(target, browser.user_id))

    async def _with_token(self, target: str, user_id: UserID) -> str:
        token = urlencode({"loginToken": await self._tokens.issue_login(user_id)})
        before, hash_sign, fragment = target.partition("#")
        return f"{before}{'&' if '?' in before else '?'}{token}{hash_sign}{fragment}"


def check_target(url: str) -> str:
    """A URL that a browser may take a token to; whether its owner may have it, the user is asked.

    Raises:
        InvalidParam: it is none.
    """
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https")
        is_good = _is_uri(url) is not None and parts.scheme not in _DANGEROUS
        is_good = is_good and (not is_web or bool(parts.hostname)) and "@" not in parts.netloc
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidParam("redirectUrl is not a URL to go to")
    return url
