"""Every page that the server shows is text to the browser, whatever is asked of it, and runs no script of others."""

from __future__ import annotations

from urllib.parse import quote

from homeserver.http.endpoint import Auth, EndpointDeclaration
from tests.conformance.declared import served_endpoints
from tests.features.accounts.browser import Browser
from tests.harness.client import Client
from tests.harness.server import Server

SCRIPT = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
PARAMETERS = (
    "session", "redirectUrl", "next", "sid", "token", "client_secret", "user_code", "state", "code", "error", "action",
    "device_id", "redirect_uri", "client_id", "scope", "name", "user", "q", "loginToken", "idp",
)  # fmt: skip
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_nothing_that_is_asked_becomes_markup(quick_server: Server) -> None:
    """Whatever somebody may be sent to by a link is tried with a script in every parameter, logged in and not."""
    alice = await quick_server.user("alice")
    await alice.sets_profile("displayname", SCRIPT)
    browser = await Browser(quick_server).opens("/oauth2/account")
    await browser.logs_in("alice", alice.password)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    pages = set()
    for headers in (FORM, {**FORM, "Cookie": cookie}):
        for endpoint in served_endpoints():
            declaration = endpoint.declaration
            if declaration.auth is Auth.NONE and declaration.method in ("GET", "POST"):
                pages |= await check_pages(quick_server.client(), declaration, headers)
    assert {
        "/oauth2/login",
        "/oauth2/account",
        "/oauth2/authorize",
        "/oauth2/link",
        "/oauth2/sso/{idp_id}",
        "/_hearth/client/email/submit_token",
        "/_synapse/client/oidc/callback",
    } <= pages


async def check_pages(client: Client, declaration: EndpointDeclaration, headers: dict[str, str]) -> set[str]:
    """Ask in several ways, and look at what is a page; the paths of those."""
    parts = declaration.path.split("/")
    scripted = "/".join(quote(SCRIPT, safe="") if part.startswith("{") else part for part in parts)
    plain = "/".join("m.login.terms" if part.startswith("{") else part for part in parts)
    everything = "&".join(f"{name}={quote(SCRIPT, safe='')}" for name in PARAMETERS)
    single = [f"{name}={quote(SCRIPT, safe='')}" for name in ("user_code", "action", "next", "error")]
    asked = [(scripted, everything), (plain, ""), *((plain, query) for query in single)]
    found = set()
    for path, query in asked:
        raw = query.encode() if declaration.method == "POST" else b""
        target = f"{path}?{query}" if query else path
        answer = await client.ask(declaration.method, target, raw=raw, headers=headers)
        if answer.media_type != "text/html":
            continue
        found.add(declaration.path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy or "default-src 'self'" in policy, declaration.path
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0], declaration.path
        assert "frame-ancestors 'none'" in policy, declaration.path
        assert answer.headers["x-content-type-options"] == "nosniff", declaration.path
        text = answer.body.decode()
        for piece in ("<script>alert", "<img src=x", "alert(1)>49"):
            assert piece not in text, f"{target}: {text}"
    return found
