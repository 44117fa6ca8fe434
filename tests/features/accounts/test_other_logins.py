"""Single sign-on for older clients, signed tokens, and captchas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import jwt
import pytest

from homeserver.errors import MissingParam
from homeserver.http.gate.reading import Answer
from homeserver.users.captcha import CaptchaStage
from homeserver.users.interactive_auth import StageRefused
from storage.uia import AuthSession
from tests.features.accounts.browser import Browser
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

REDIRECT = "/_matrix/client/v3/login/sso/redirect"
SECRET = "a secret of at least thirty-two bytes"


async def comes_back(server: Server, user: User, target: str) -> Browser:
    """Log in in the browser for a client that waits at `target`."""
    answer = await server.client().ask("GET", REDIRECT, query={"redirectUrl": target})
    assert answer.status == 302
    browser = await Browser(server).opens(answer.headers["location"])
    await browser.logs_in("alice", user.password)
    return browser


@pytest.mark.parametrize(
    "target",
    ["https://app.example.com/?x=1#/room", "http://localhost:8080/", "im.example:/back", "element://vector"],
)
async def test_single_sign_on(server: Server, alice: User, target: str) -> None:
    browser = await comes_back(server, alice, target)
    await browser.submits()
    assert browser.left_for is not None
    before, _, fragment = target.partition("#")
    assert browser.left_for.startswith(before)
    assert browser.left_for.endswith(f"#{fragment}" if fragment else "")
    token = parse_qs(urlsplit(browser.left_for).query)["loginToken"][0]
    login = {"type": "m.login.token", "token": token}
    assert (await server.client().request("POST", "/login", login))["user_id"] == alice.user_id
    with refused("M_FORBIDDEN", 403):
        await server.client().request("POST", "/login", login)


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "/relative",
        "//evil.example",
        "https://user@evil.example/",
        "https:///nowhere",
        "https://a b/",
        "https://x\r\nSet-Cookie: a=b",
        "",
    ],
)
async def test_tokens_go_nowhere_strange(server: Server, target: str) -> None:
    for path in (REDIRECT, "/oauth2/sso"):
        with refused("M_INVALID_PARAM", 400):
            await server.client().request("GET", f"{path}?redirectUrl={quote(target, safe='')}")


async def test_the_user_is_asked_unless_the_client_is_trusted(make_server: ServerFactory) -> None:
    server = make_server(sso={"client_whitelist": ["https://app.example.com/", "https://sloppy.example"]})
    alice = await server.user("alice")
    trusted = await comes_back(server, alice, "https://app.example.com/x")
    assert trusted.left_for is not None
    for target in ("https://app.example.com.evil.org/", "https://sloppy.example.evil.org/"):
        asked = await comes_back(server, alice, target)
        assert asked.left_for is None
        assert "evil.org" in asked.text


async def test_there_are_no_providers(server: Server) -> None:
    with refused("M_NOT_FOUND", 404):
        await server.client().request(
            "GET", f"{REDIRECT}/github?{urlencode({'redirectUrl': 'https://a.b/'})}"
        )


def signed(server: Server, key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> dict[str, str]:
    token = jwt.encode({"sub": "alice", "iss": "me", "aud": "hearth", **claims}, key, algorithm=algorithm)
    return {"type": "org.matrix.login.jwt", "token": token}


async def test_signed_tokens(make_server: ServerFactory) -> None:
    config = {"enabled": True, "secret": SECRET, "issuer": "me", "audiences": ["hearth"]}
    server = make_server(jwt_config=config)
    alice = await server.user("alice")
    client, now_s = server.client(), server.clock.now_ms() // 1000
    assert {"type": "org.matrix.login.jwt"} in (await client.request("GET", "/login"))["flows"]
    good = signed(server, exp=now_s + 60, nbf=now_s)
    assert (await client.request("POST", "/login", good))["user_id"] == alice.user_id
    bad = [
        signed(server, key="another secret, also of thirty-two bytes"),
        signed(server, key="", algorithm="none"),
        signed(server, algorithm="HS512"),
        signed(server, iss="somebody else"),
        signed(server, aud="another"),
        signed(server, exp=now_s - 60),
        signed(server, nbf=now_s + 60),
        signed(server, exp="soon"),
        signed(server, sub="nobody"),
        signed(server, sub="alice:evil.example"),
        {"type": "org.matrix.login.jwt", "token": "nonsense"},
    ]
    for one in bad:
        with refused("M_FORBIDDEN", 403):
            await client.request("POST", "/login", one)
    await server.homeserver.services.users.accounts.set_locked(alice.user_id, locked=True)
    with refused("M_USER_LOCKED"):
        await client.request("POST", "/login", good)
    await server.homeserver.services.users.deactivation.deactivate(alice.user_id, erase=False)
    with refused("M_USER_DEACTIVATED"):
        await client.request("POST", "/login", good)


async def test_a_captcha_is_asked_for(make_server: ServerFactory) -> None:
    server = make_server(
        enable_registration_captcha=True, recaptcha_public_key="public", recaptcha_private_key="private"
    )
    client = server.client()
    challenge = await client.ask("POST", "/register", {"username": "alice", "password": "pw"})
    assert challenge.json["flows"] == [{"stages": ["m.login.recaptcha"]}]
    assert challenge.json["params"]["m.login.recaptcha"] == {"public_key": "public"}
    session = challenge.json["session"]
    page = await client.ask("GET", f"/auth/m.login.recaptcha/fallback/web?session={session}")
    assert b'data-sitekey="public"' in page.body
    assert b"private" not in page.body


class CaptchaMaker:
    """Finds one answer good."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        asked = parse_qs((body or b"").decode())
        self.asked.append(asked)
        is_good = asked == {"secret": ["private"], "response": ["good"]}
        return Answer(200, {}, b'{"success": true}' if is_good else b'{"success": false}', url)


@pytest.mark.parametrize("field", ["response", "g-recaptcha-response"])
async def test_answers_to_a_captcha_are_checked(field: str) -> None:
    maker = CaptchaMaker()
    stage = CaptchaStage(maker, public_key="public", private_key="private", url="https://captcha.test/verify")
    session = AuthSession("s", 0, "POST /register", None, "", [], {})
    assert await stage.check({field: "good"}, session) is True
    with pytest.raises(StageRefused):
        await stage.check({field: "bad"}, session)
    with pytest.raises(MissingParam):
        await stage.check({}, session)
    assert len(maker.asked) == 2
