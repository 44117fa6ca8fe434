"""Making an account in the browser, for a client that logs in by OAuth 2.0."""

from __future__ import annotations

from storage import registration_tokens
from storage.registration_tokens import RegistrationToken
from tests.features.accounts.browser import Browser
from tests.features.accounts.test_oauth import CodeFlow, metadata_of, registered
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server

PASSWORD = "a word for one page"


async def begins(server: Server, **extra: str) -> tuple[CodeFlow, Browser]:
    """A client sends its user to make an account."""
    metadata = await metadata_of(server)
    flow = CodeFlow(server, metadata, await registered(server), prompt="create", **extra)
    return flow, await Browser(server).opens(flow.url)


async def enters(server: Server, flow: CodeFlow, browser: Browser) -> str:
    """Allow the client; who it is logged in as."""
    await browser.submits({"decision": "allow"})
    assert browser.left_for is not None, browser.text
    token = (await flow.exchanges(browser.left_for)).json
    answer = await server.client(token["access_token"]).request("GET", "/account/whoami")
    return str(answer["user_id"])


async def test_a_newcomer_makes_an_account_and_is_let_in(server: Server) -> None:
    assert (await metadata_of(server))["prompt_values_supported"] == ["create"]
    flow, browser = await begins(server)
    assert "Create an account" in browser.text
    await browser.submits({"user": "alice", "password": PASSWORD})
    assert await enters(server, flow, browser) == "@alice:one.test"
    # The same name and password work everywhere else.
    await server.logs_in("alice", password=PASSWORD)


async def test_what_is_wrong_is_said_on_the_page(server: Server) -> None:
    await server.user("alice")
    _, browser = await begins(server)
    for fields, why in (
        ({"user": "alice", "password": PASSWORD}, "taken"),
        ({"user": "<b>", "password": PASSWORD}, "made of"),
        ({"user": "", "password": PASSWORD}, "made of"),
        ({"user": "carol", "password": ""}, "password"),
    ):
        await browser.submits(fields)
        assert browser.answer is not None
        assert browser.answer.status == 400
        assert why in browser.text
        assert "<b>" not in browser.text
    stranger = Browser(server)
    await stranger.opens("/oauth2/create?next=https://evil.test/")
    assert 'name="next" value="/oauth2/account"' in stranger.text
    await stranger.submits({"user": "carol", "password": PASSWORD, "form_token": "forged"})
    assert stranger.answer is not None
    assert stranger.answer.status == 403


async def test_tokens_and_terms_are_asked_for(make_server: ServerFactory) -> None:
    server = make_server(
        registration_requires_token=True,
        user_consent={"enabled": True, "url": "https://one.test/terms", "policy_name": "The terms"},
    )
    welcome = RegistrationToken("welcome", uses_allowed=1)
    await server.homeserver.surroundings.database.run(registration_tokens.add, welcome)
    flow, browser = await begins(server)
    assert "https://one.test/terms" in browser.text
    filled = {"user": "alice", "password": PASSWORD, "token": "welcome", "accept": "yes"}
    await browser.submits({**filled, "accept": "no"})
    assert "must be accepted" in browser.text
    await browser.submits({**filled, "token": "wrong"})
    assert "not valid" in browser.text
    await browser.submits(filled)
    assert await enters(server, flow, browser) == "@alice:one.test"
    _, late = await begins(server)
    await late.submits({**filled, "user": "bob"})
    assert "not valid" in late.text


async def test_a_closed_server_offers_no_account(make_server: ServerFactory) -> None:
    server = make_server(enable_registration=False)
    assert "prompt_values_supported" not in await metadata_of(server)
    _, browser = await begins(server)
    assert browser.answer is not None
    assert browser.answer.status == 404
    await browser.opens("/oauth2/login")
    assert "Create an account" not in browser.text
