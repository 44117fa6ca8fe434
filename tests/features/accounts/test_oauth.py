"""Clients that log in by OAuth 2.0: as authlib speaks it, over whole servers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from authlib.common.security import generate_token
from authlib.oauth2.client import OAuth2Client

from storage.transaction import Transaction
from tests.conformance.validator import Answer
from tests.features.accounts.browser import Browser
from tests.harness.server import Server
from tests.harness.user import User

CLIENT = {
    "client_name": "Example",
    "client_uri": "https://example.com/",
    "redirect_uris": ["https://app.example.com/callback"],
    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}
CALLBACK = "https://app.example.com/callback"
SCOPE = "urn:matrix:client:api:* urn:matrix:client:device:LAPTOP1234"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def metadata_of(server: Server) -> dict[str, Any]:
    return await server.client().request("GET", "/_matrix/client/v1/auth_metadata")


def path_of(url: str) -> str:
    return urlsplit(url).path


async def registered(server: Server, **changes: Any) -> str:
    """A client that has registered itself."""
    endpoint = (await metadata_of(server))["registration_endpoint"]
    answer = await server.client().ask("POST", path_of(endpoint), {**CLIENT, **changes})
    assert answer.status == 201, answer
    return str(answer.json["client_id"])


async def posts(server: Server, url: str, fields: dict[str, str]) -> Answer:
    """Send a form, as clients do."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await server.client().ask("POST", path_of(url), raw=urlencode(fields).encode(), headers=headers)


class CodeFlow:
    """One authorisation request of a client made with authlib."""

    def __init__(self, server: Server, metadata: dict[str, Any], client_id: str, **extra: str) -> None:
        self.server = server
        self.metadata = metadata
        self.verifier = generate_token(48)
        self.library = OAuth2Client(
            session=None,
            client_id=client_id,
            token_endpoint_auth_method="none",
            scope=extra.pop("scope", SCOPE),
            redirect_uri=extra.pop("redirect_uri", CALLBACK),
            code_challenge_method="S256",
        )
        self.library.session = self
        self.url, self.state = self.library.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=self.verifier, **extra
        )

    async def exchanges(self, callback: str, **changes: str) -> Answer:
        code = dict(parse_qsl(urlsplit(callback).query or urlsplit(callback).fragment))["code"]
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.library.redirect_uri,
            "client_id": self.library.client_id,
            "code_verifier": self.verifier,
            **changes,
        }
        return await posts(self.server, self.metadata["token_endpoint"], fields)


async def granted(server: Server, user: User, **extra: str) -> tuple[CodeFlow, str]:
    """Somebody logs in in their browser and allows the client; where they are sent then."""
    flow = CodeFlow(server, await metadata_of(server), await registered(server), **extra)
    browser = await Browser(server).opens(flow.url)
    await browser.logs_in("alice", user.password)
    assert "app.example.com" in browser.text
    await browser.submits({"decision": "allow"})
    assert browser.left_for is not None, browser.text
    return flow, browser.left_for


@pytest.mark.parametrize("mode", ["query", "fragment"])
async def test_a_client_logs_in_by_code(server: Server, alice: User, mode: str) -> None:
    flow, callback = await granted(server, alice, response_mode=mode)
    parts = urlsplit(callback)
    assert callback.startswith(CALLBACK)
    answer = dict(parse_qsl(parts.fragment if mode == "fragment" else parts.query))
    assert answer["state"] == flow.state
    token = (await flow.exchanges(callback)).json
    assert token["token_type"] == "Bearer"
    assert token["scope"] == SCOPE
    client = server.client(token["access_token"])
    whoami = await client.request("GET", "/account/whoami")
    assert (whoami["user_id"], whoami["device_id"]) == (alice.user_id, "LAPTOP1234")
    assert "next_batch" in await client.request("GET", "/sync")
    device = await alice.request("GET", "/devices/LAPTOP1234")
    assert device["display_name"] == "Example"


async def test_a_device_logs_in_by_code(server: Server, alice: User) -> None:
    metadata, client_id = await metadata_of(server), await registered(server)
    issued = (
        await posts(
            server, metadata["device_authorization_endpoint"], {"client_id": client_id, "scope": SCOPE}
        )
    ).json
    poll = {"grant_type": DEVICE_GRANT, "device_code": issued["device_code"], "client_id": client_id}
    waiting = await posts(server, metadata["token_endpoint"], poll)
    assert (waiting.status, waiting.json["error"]) == (400, "authorization_pending")
    assert (await posts(server, metadata["token_endpoint"], poll)).json["error"] == "slow_down"
    browser = await Browser(server).opens(issued["verification_uri_complete"])
    await browser.logs_in("alice", alice.password)
    assert issued["user_code"] in browser.text
    await browser.submits({"decision": "allow"})
    assert "logged in" in browser.text
    await server.passes(6)
    token = (await posts(server, metadata["token_endpoint"], poll)).json
    client = server.client(token["access_token"])
    assert (await client.request("GET", "/account/whoami"))["device_id"] == "LAPTOP1234"
    assert "next_batch" in await client.request("GET", "/sync")
    again = await posts(server, metadata["token_endpoint"], poll)
    assert again.json["error"] == "invalid_grant"


async def test_a_device_is_refused(server: Server, alice: User) -> None:
    metadata, client_id = await metadata_of(server), await registered(server)
    asked = {"client_id": client_id, "scope": SCOPE}
    issued = (await posts(server, metadata["device_authorization_endpoint"], asked)).json
    browser = await Browser(server).opens("/oauth2/link")
    await browser.logs_in("alice", alice.password)
    await browser.submits({"user_code": issued["user_code"].lower().replace("-", " ")})
    await browser.submits({"decision": "refuse"})
    poll = {"grant_type": DEVICE_GRANT, "device_code": issued["device_code"], "client_id": client_id}
    assert (await posts(server, metadata["token_endpoint"], poll)).json["error"] == "access_denied"


async def test_tokens_rotate(server: Server, alice: User) -> None:
    flow, callback = await granted(server, alice)
    first = (await flow.exchanges(callback)).json
    fields = {"grant_type": "refresh_token", "client_id": flow.library.client_id}
    endpoint = flow.metadata["token_endpoint"]
    second = (await posts(server, endpoint, {**fields, "refresh_token": first["refresh_token"]})).json
    assert second["scope"] == SCOPE
    # The answer may have been lost: the old one works until the new pair is used.
    third = (await posts(server, endpoint, {**fields, "refresh_token": first["refresh_token"]})).json
    client = server.client(third["access_token"])
    assert (await client.request("GET", "/account/whoami"))["device_id"] == "LAPTOP1234"
    refused = await posts(server, endpoint, {**fields, "refresh_token": first["refresh_token"]})
    assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    other = await registered(server, client_name="Another")
    stolen = {"grant_type": "refresh_token", "client_id": other, "refresh_token": third["refresh_token"]}
    assert (await posts(server, endpoint, stolen)).json["error"] == "invalid_grant"


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revocation_ends_the_session(server: Server, alice: User, which: str) -> None:
    flow, callback = await granted(server, alice)
    token = (await flow.exchanges(callback)).json
    endpoint = flow.metadata["revocation_endpoint"]
    answer = await posts(server, endpoint, {"token": token[which], "token_type_hint": which})
    assert answer.status == 200
    gone = await server.client(token["access_token"]).ask("GET", "/account/whoami")
    assert (gone.status, gone.errcode) == (401, "M_UNKNOWN_TOKEN")
    fields = {"grant_type": "refresh_token", "client_id": flow.library.client_id}
    refresh = {**fields, "refresh_token": token["refresh_token"]}
    assert (await posts(server, flow.metadata["token_endpoint"], refresh)).status == 400
    assert (await posts(server, endpoint, {"token": token[which]})).status == 200


async def test_a_code_works_once_and_its_reuse_ends_the_session(server: Server, alice: User) -> None:
    flow, callback = await granted(server, alice)
    wrong = await flow.exchanges(callback, code_verifier="x" * 43)
    assert wrong.json["error"] == "invalid_grant"
    elsewhere = await flow.exchanges(callback, redirect_uri="https://app.example.com/other")
    assert elsewhere.json["error"] == "invalid_grant"
    token = (await flow.exchanges(callback)).json
    assert (await flow.exchanges(callback)).json["error"] == "invalid_grant"
    assert (await server.client(token["access_token"]).ask("GET", "/account/whoami")).status == 401


async def test_a_code_expires(server: Server, alice: User) -> None:
    flow, callback = await granted(server, alice)
    await server.passes(61)
    assert (await flow.exchanges(callback)).json["error"] == "invalid_grant"


@pytest.mark.parametrize("fate", ["deactivated", "locked"])
async def test_who_may_not_log_in_cannot_by_any_grant(server: Server, alice: User, fate: str) -> None:
    flow, callback = await granted(server, alice)
    metadata = flow.metadata
    asked = {"client_id": flow.library.client_id, "scope": SCOPE}
    issued = (await posts(server, metadata["device_authorization_endpoint"], asked)).json
    browser = await Browser(server).opens(issued["verification_uri_complete"])
    await browser.logs_in("alice", alice.password)
    await browser.submits({"decision": "allow"})
    users = server.homeserver.services.users
    if fate == "locked":
        await users.accounts.set_locked(alice.user_id, locked=True)
    else:
        await users.deactivation.deactivate(alice.user_id, erase=False)
    assert (await flow.exchanges(callback)).status == 400
    poll = {
        "grant_type": DEVICE_GRANT,
        "device_code": issued["device_code"],
        "client_id": flow.library.client_id,
    }
    assert (await posts(server, metadata["token_endpoint"], poll)).status == 400
    # The browser's own session is of no use any more either, and there is no new one.
    await browser.opens("/oauth2/account")
    await browser.logs_in("alice", alice.password)
    assert "Your account" not in browser.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "urn:matrix:client:api:*"}, "invalid_scope"),
        ({"scope": f"{SCOPE} urn:matrix:client:device:TWO"}, "invalid_scope"),
        ({"scope": f"{SCOPE} admin"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "interaction_required"),
    ],
)
async def test_bad_requests_go_back_to_the_client(
    server: Server, changes: dict[str, str], error: str
) -> None:
    flow = CodeFlow(server, await metadata_of(server), await registered(server))
    asked = dict(parse_qsl(urlsplit(flow.url).query)) | changes
    browser = await Browser(server).opens(f"/oauth2/authorize?{urlencode(asked)}")
    assert browser.left_for is not None
    answer = parse_qs(urlsplit(browser.left_for).query)
    assert (answer["error"], answer["state"]) == ([error], [flow.state])


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "https://app.example.com/callback?x=1"},
        {"redirect_uri": "https://app.example.com/callback/"},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": "nobody"},
        {"response_mode": "form_post"},
    ],
)
async def test_nobody_is_sent_where_the_client_is_not(server: Server, changes: dict[str, str]) -> None:
    flow = CodeFlow(server, await metadata_of(server), await registered(server))
    asked = dict(parse_qsl(urlsplit(flow.url).query)) | changes
    browser = await Browser(server).opens(f"/oauth2/authorize?{urlencode(asked)}")
    assert browser.left_for is None
    assert browser.answer is not None
    assert browser.answer.status == 400


async def test_a_native_client_may_use_any_port(server: Server, alice: User) -> None:
    redirects = ["http://127.0.0.1/callback", "http://[::1]/callback", "com.example.app:/callback"]
    client_id = await registered(server, application_type="native", redirect_uris=redirects)
    for uri in ("http://127.0.0.1:4711/callback", "http://[::1]:4711/callback", "com.example.app:/callback"):
        flow = CodeFlow(server, await metadata_of(server), client_id, redirect_uri=uri)
        browser = await Browser(server).opens(flow.url)
        await browser.logs_in("alice", alice.password)
        await browser.submits({"decision": "allow"})
        assert browser.left_for is not None
        assert browser.left_for.startswith(f"{uri}?code=")
        assert (await flow.exchanges(browser.left_for)).status == 200


@pytest.mark.parametrize(
    "next_path",
    ["https://evil.example/", "//evil.example", "/oauth2/..//evil\\@x", "/\\evil.example", "javascript:1"],
)
async def test_login_leads_nowhere_else(server: Server, alice: User, next_path: str) -> None:
    browser = await Browser(server).opens(f"/oauth2/login?{urlencode({'next': next_path})}")
    await browser.submits({"user": "alice", "password": alice.password, "next": next_path})
    assert browser.left_for is None
    assert browser.url == "/oauth2/account"


async def test_names_of_clients_are_text(server: Server, alice: User) -> None:
    evil = '<script>alert("x")</script>'
    client_id = await registered(server, client_name=evil)
    flow = CodeFlow(server, await metadata_of(server), client_id)
    browser = await Browser(server).opens(flow.url)
    await browser.logs_in('"><script>', "wrong")
    assert "<script" not in browser.text
    await browser.logs_in("alice", alice.password)
    assert "<script" not in browser.text
    assert "default-src 'none'" in browser.header("content-security-policy")
    assert "form-action 'self' https://app.example.com;" in browser.header("content-security-policy")
    assert browser.header("x-frame-options") == "DENY"


async def test_forms_are_those_of_the_browser(server: Server, alice: User) -> None:
    flow = CodeFlow(server, await metadata_of(server), await registered(server))
    browser = await Browser(server).opens(flow.url)
    await browser.logs_in("alice", alice.password)
    stranger = await Browser(server).opens("/oauth2/login")
    await browser.submits({"decision": "allow", "form_token": stranger.forms[0].fields["form_token"]})
    assert browser.left_for is None
    assert browser.answer is not None
    assert browser.answer.status == 403


async def test_another_password_logs_browsers_out(server: Server, alice: User) -> None:
    browser = await Browser(server).opens("/oauth2/account")
    await browser.logs_in("alice", alice.password)
    assert "Your account" in browser.text
    await alice.confirms("POST", "/account/password", {"new_password": "another one"})
    assert "Your account" not in (await browser.opens("/oauth2/account")).text


async def test_an_account_is_managed_in_the_browser(server: Server, alice: User) -> None:
    phone = await server.logs_in(alice, device_id="PHONE")
    browser = await Browser(server).opens("/oauth2/account?action=org.matrix.device_delete&device_id=PHONE")
    await browser.logs_in("alice", alice.password)
    assert "PHONE" in browser.text
    await browser.submits()
    assert (await phone.ask("GET", "/account/whoami")).status == 401
    await browser.opens("/oauth2/account?action=org.matrix.profile")
    await browser.submits({"displayname": "Alice <b>"})
    assert "Alice &lt;b&gt;" in browser.text
    await browser.opens("/oauth2/account?action=org.matrix.account_deactivate")
    await browser.submits({"password": "wrong"})
    assert "invalid username or password" in browser.text
    await browser.submits({"password": alice.password})
    assert "deactivated" in browser.text
    assert (await alice.ask("GET", "/account/whoami")).status == 401


async def test_an_identity_is_reset_in_the_browser(server: Server, alice: User, bob: User) -> None:
    flow, callback = await granted(server, alice)
    client = server.client((await flow.exchanges(callback)).json["access_token"])
    keys = {"master_key": _master_key(alice.user_id, "A")}
    await client.request("POST", "/keys/device_signing/upload", keys)
    keys = {"master_key": _master_key(alice.user_id, "B")}
    challenge = await client.ask("POST", "/keys/device_signing/upload", keys)
    assert challenge.status == 401
    assert {"stages": ["m.oauth"]} in challenge.json["flows"]
    session = challenge.json["session"]
    auth = {"session": session}
    assert (await client.ask("POST", "/keys/device_signing/upload", {**keys, "auth": auth})).status == 401
    pretending = {"session": session, "type": "m.oauth"}
    answer = await client.ask("POST", "/keys/device_signing/upload", {**keys, "auth": pretending})
    assert answer.status == 401
    url = challenge.json["params"]["m.oauth"]["url"]
    other = await Browser(server).opens(url)
    await other.logs_in("bob", bob.password)
    assert "another account" in other.text
    browser = await Browser(server).opens(url)
    await browser.logs_in("alice", alice.password)
    await browser.submits()
    assert "Go on in your app" in browser.text
    await client.request("POST", "/keys/device_signing/upload", {**keys, "auth": auth})


def _master_key(user_id: str, letter: str) -> dict[str, Any]:
    key = letter * 43
    return {"user_id": user_id, "usage": ["master"], "keys": {f"ed25519:{key}": key}}


async def test_secrets_are_neither_stored_nor_logged(server: Server, alice: User) -> None:
    flow, callback = await granted(server, alice)
    token = (await flow.exchanges(callback)).json
    code = dict(parse_qsl(urlsplit(callback).query))["code"]
    secrets = [code, token["access_token"], token["refresh_token"], flow.verifier, alice.password]
    database = server.homeserver.surroundings.database
    for table in ("oauth_codes", "oauth_sessions", "browser_sessions", "access_tokens", "refresh_tokens"):
        rows = await database.read(Transaction.all, f"SELECT * FROM {table}")
        assert rows
        for secret in secrets:
            assert secret not in repr(rows)
    await server.passes(1)
    lines = "".join(server.access_lines)
    assert not [secret for secret in secrets if secret in lines]
