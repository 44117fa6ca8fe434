"""Logging in through an upstream OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.features.accounts.browser import Browser
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.upstream import ISSUER, Upstream
from tests.unit.http.outside import Outside

REDIRECT = "/_matrix/client/v3/login/sso/redirect"
TARGET = "https://app.example.com/"
Start = Callable[..., Server]


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def starts(
    reactor: VirtualReactor,
    engine: Engine,
    upstream: Upstream,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Start]:
    running: list[Server] = []

    def start(**changes: Any) -> Server:
        server = Server(reactor, engine, seed=request.node.name, **upstream.config(tmp_path, **changes))
        upstream.listens(server, Outside(reactor), tmp_path)
        reactor.drive(server.starts())
        running.append(server)
        return server

    yield start
    for server in running:
        reactor.drive(server.stops())


async def sent_away(server: Server) -> tuple[Browser, str]:
    """A browser that a client has opened, and where it was sent."""
    answer = await server.client().ask("GET", f"{REDIRECT}/op", query={"redirectUrl": TARGET})
    assert answer.status == 302
    browser = await Browser(server).opens(answer.headers["location"])
    assert browser.left_for is not None, browser.text
    return browser, browser.left_for


async def comes_back(server: Server, upstream: Upstream) -> Browser:
    browser, url = await sent_away(server)
    return await browser.opens(upstream.logs_in(url))


async def logs_in(server: Server, browser: Browser) -> str:
    """Let the client log in; as whom it is."""
    await browser.submits()
    assert browser.left_for is not None, browser.text
    assert browser.left_for.startswith(TARGET)
    token = parse_qs(urlsplit(browser.left_for).query)["loginToken"][0]
    answer = await server.client().request("POST", "/login", {"type": "m.login.token", "token": token})
    return str(answer["user_id"])


async def test_somebody_new_gets_the_account_that_their_claims_say(starts: Start, upstream: Upstream) -> None:
    server = starts()
    (flow,) = [
        each
        for each in (await server.client().request("GET", "/login"))["flows"]
        if each["type"] == "m.login.sso"
    ]
    assert flow["identity_providers"] == [{"id": "op", "name": "The <Op>"}]
    assert await logs_in(server, await comes_back(server, upstream)) == "@=c3=a1lice:one.test"
    # The provider's own name for them is what counts from then on.
    upstream.claims["preferred_username"] = "somebody_else"
    assert await logs_in(server, await comes_back(server, upstream)) == "@=c3=a1lice:one.test"
    # And another one of the same name is somebody else.
    upstream.claims |= {"sub": "4712", "preferred_username": "Álice"}
    assert await logs_in(server, await comes_back(server, upstream)) == "@=c3=a1lice1:one.test"


async def test_the_login_page_leads_there_too(starts: Start, upstream: Upstream) -> None:
    server = starts()
    browser = await Browser(server).opens("/oauth2/account")
    assert "Log in with The &lt;Op&gt;" in browser.text
    await browser.opens("/oauth2/sso/op?next=%2Foauth2%2Faccount")
    await browser.opens(upstream.logs_in(browser.left_for or ""))
    assert "Your account" in browser.text


async def test_a_new_user_may_choose_a_name(starts: Start, upstream: Upstream) -> None:
    server = starts(mapping={"display_name_template": "{{ user.name }}"})
    await server.user("alice")
    browser = await comes_back(server, upstream)
    for name in ("alice", "a b", "<script>"):
        await browser.submits({"name": name})
        assert "This name is taken" in browser.text
        assert "<script>" not in browser.text
    await browser.submits({"name": "alicia"})
    assert await logs_in(server, browser) == "@alicia:one.test"
    profile = await server.client().request("GET", "/profile/@alicia:one.test")
    assert profile["displayname"] == "Alice A."


async def test_an_account_may_be_taken_over_only_if_the_operator_says_so(
    starts: Start, upstream: Upstream
) -> None:
    server = starts(allow_existing_users=True)
    alice = await server.user("alice")
    upstream.claims["preferred_username"] = "alice"
    assert await logs_in(server, await comes_back(server, upstream)) == alice.user_id
    upstream.claims["sub"] = "an impostor"
    assert await logs_in(server, await comes_back(server, upstream)) == alice.user_id


async def test_an_address_that_somebody_has_stays_theirs(starts: Start, upstream: Upstream) -> None:
    email = "{{ user.email }}"
    server = starts(mapping={"localpart_template": "{{ user.preferred_username }}", "email_template": email})
    for sub, name, is_verified, kept in (
        ("1", "one", True, ["one@example.org"]),
        ("2", "two", True, []),
        ("3", "three", False, []),
    ):
        address = "one@example.org" if sub == "2" else f"{name}@example.org"
        upstream.claims |= {
            "sub": sub,
            "preferred_username": name,
            "email": address,
            "email_verified": is_verified,
        }
        user_id = await logs_in(server, await comes_back(server, upstream))
        threepids = await server.homeserver.services.mail.threepids.list_of_user(user_id)  # type: ignore[arg-type]  # it is one
        assert [threepid.address for threepid in threepids] == kept


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"enable_registration": False}, {}),
        ({"attribute_requirements": [{"attribute": "groups", "value": "staff"}]}, {"groups": ["guests"]}),
        ({"attribute_requirements": [{"attribute": "groups"}]}, {}),
        ({"attribute_requirements": [{"attribute": "groups", "one_of": ["a", "b"]}]}, {"groups": "c"}),
        ({}, {"sub": ""}),
        ({}, {"sub": None}),
        ({}, {"iss": "https://evil.test"}),
        ({}, {"aud": "another client"}),
        ({}, {"nonce": "of another login"}),
        ({}, {"nonce": None}),
        ({}, {"exp": 1}),
        ({}, {"exp": "soon"}),
        ({"user_profile_method": "userinfo_endpoint"}, {}),
    ],
)
async def test_who_is_not_let_in(
    starts: Start, upstream: Upstream, changes: dict[str, Any], claims: dict[str, Any]
) -> None:
    server = starts(**changes)
    upstream.claims |= claims
    upstream.userinfo = {"sub": "somebody else", "name": "x"}
    browser = await comes_back(server, upstream)
    assert "You are not logged in" in browser.text
    await browser.opens("/oauth2/account")
    assert "Your account" not in browser.text


async def test_tokens_that_the_provider_has_not_signed(starts: Start, upstream: Upstream) -> None:
    server = starts()
    forger = Upstream()
    for algorithm, key, header in (
        ("none", None, {}),
        ("HS256", "the secret of hearth, which is long enough", {"kid": "1"}),
        ("ES256", forger.key, {"kid": "1"}),
        ("ES256", upstream.key, {"kid": "2"}),
    ):
        upstream.algorithm, upstream.signing_key, upstream.header = algorithm, key, header
        assert "You are not logged in" in (await comes_back(server, upstream)).text


async def test_a_login_belongs_to_the_browser_in_which_it_began(starts: Start, upstream: Upstream) -> None:
    server = starts()
    first, url = await sent_away(server)
    back = upstream.logs_in(url)
    other, _ = await sent_away(server)
    for browser in (Browser(server), other):
        await browser.opens(back)
        assert "did not begin in this browser" in browser.text
    assert await logs_in(server, await first.opens(back)) == "@=c3=a1lice:one.test"
    # It cannot be finished twice, nor after a long while.
    assert "did not begin in this browser" in (await Browser(server).opens(back)).text
    late, url = await sent_away(server)
    await server.passes(16 * 60)
    assert "has expired" in (await late.opens(upstream.logs_in(url))).text
    refused_there, url = await sent_away(server)
    state = parse_qs(urlsplit(url).query)["state"][0]
    error = urlencode({"state": state, "error": "<script>alert(1)</script>"})
    await refused_there.opens(f"/_synapse/client/oidc/callback?{error}")
    assert "<script>" not in refused_there.text


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.test"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://op.test/token"},
        {"jwks_uri": f"{ISSUER}/nothing"},
    ],
)
async def test_a_provider_that_says_strange_things(
    starts: Start, upstream: Upstream, metadata: dict[str, Any]
) -> None:
    server = starts()
    upstream.metadata |= metadata
    browser = await Browser(server).opens("/oauth2/sso/op?next=%2Foauth2%2Faccount")
    if browser.left_for is not None:
        await browser.opens(upstream.logs_in(browser.left_for))
    assert "You are not logged in" in browser.text


async def test_a_provider_that_does_not_exist(starts: Start) -> None:
    server = starts()
    with refused("M_NOT_FOUND", 404):
        await server.client().request("GET", f"{REDIRECT}/github?{urlencode({'redirectUrl': TARGET})}")
    assert "no identity provider" in (await Browser(server).opens("/oauth2/sso/github")).text


@pytest.mark.parametrize("fate", ["locked", "deactivated"])
async def test_who_may_not_log_in_cannot_from_there_either(
    starts: Start, upstream: Upstream, fate: str
) -> None:
    server = starts(allow_existing_users=True)
    alice = await server.user("alice")
    upstream.claims["preferred_username"] = "alice"
    await comes_back(server, upstream)
    users = server.homeserver.services.users
    if fate == "locked":
        await users.accounts.set_locked(alice.user_id, locked=True)
    else:
        await users.deactivation.deactivate(alice.user_id, erase=False)
    assert "You are not logged in" in (await comes_back(server, upstream)).text
