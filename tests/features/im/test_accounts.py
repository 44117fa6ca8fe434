"""Accounts over the IM API: signing up and in, codes by mail, tokens and sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.features.accounts.mailbox import Mailbox
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client import Client
from tests.harness.configuration import PASSWORD
from tests.harness.fixtures import ServerFactory
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.unit.http.outside import Outside

ADDRESS = "ann@example.org"
SECRET = "a secret that is long enough for HS256"
HOUR_S = 3600


class Postal:
    """A server that mails codes, and the mailbox that they go to."""

    def __init__(self, server: Server, mailbox: Mailbox) -> None:
        self.server = server
        self.mailbox = mailbox

    async def sends(self, purpose: str, address: str = ADDRESS) -> dict[str, Any]:
        client = self.server.client()
        answer = await im_call(client, "POST", "/auth/email/code", {"email": address, "purpose": purpose})
        await self.server.passes(1)
        return answer

    @property
    def code(self) -> str:
        found = re.search(r"\b\d{6}\b", self.mailbox.text)
        assert found is not None
        return found[0]

    async def registers(self, **body: Any) -> dict[str, Any]:
        await self.sends("register")
        whole = {"email": ADDRESS, "code": self.code, **body}
        return await im_call(self.server.client(), "POST", "/auth/register", whole)

    async def logs_in(self, code: str, **more: Any) -> dict[str, Any]:
        body = {"type": "email_code", "identifier": {"email": ADDRESS}, "code": code, **more}
        return await im_call(self.server.client(), "POST", "/auth/login", body)


@pytest.fixture
def postal(reactor: VirtualReactor, engine: Engine, request: pytest.FixtureRequest) -> Iterator[Postal]:
    email = {"smtp_host": "127.0.0.1", "notif_from": "noreply@one.test"}
    server = Server(reactor, engine, seed=request.node.name, email=email)
    mailbox = Mailbox()
    server.network = Outside(reactor)
    server.network.servers["127.0.0.1", 25] = mailbox
    reactor.drive(server.starts())
    yield Postal(server, mailbox)
    reactor.drive(server.stops())


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def signs_up(server: Server, name: str = "ann", **body: Any) -> dict[str, Any]:
    whole = {"username": name, "password": PASSWORD, **body}
    return await im_call(server.client(), "POST", "/auth/register", whole)


async def logs_in(server: Server, name: str = "ann", password: str = PASSWORD, **body: Any) -> dict[str, Any]:
    whole = {"type": "password", "identifier": {"user": name}, "password": password, **body}
    return await im_call(server.client(), "POST", "/auth/login", whole)


def with_token(server: Server, answer: dict[str, Any]) -> Client:
    return server.client(answer["access_token"])


async def test_name_and_password(server: Server) -> None:
    begun = await signs_up(server, nickname="Ann", device_name="phone")
    assert set(begun) == {"user_id", "device_id", "access_token", "refresh_token", "expires_in_ms"}
    me = await im_call(with_token(server, begun), "GET", "/users/me")
    assert (me["user_id"], me["nickname"], me["username"]) == ("@ann:one.test", "Ann", "ann")
    # The token is good for both APIs.
    whoami = await with_token(server, begun).request("GET", "/account/whoami")
    assert whoami["device_id"] == begun["device_id"]
    again = await logs_in(server, device_id="TABLET")
    assert again["device_id"] == "TABLET"
    with refused("M_FORBIDDEN", 403):
        await logs_in(server, password="wrong")
    with refused("M_USER_IN_USE", 400):
        await signs_up(server)
    with refused("M_INVALID_USERNAME", 400):
        await signs_up(server, "no spaces")
    with refused("M_MISSING_PARAM", 400):
        await im_call(server.client(), "POST", "/auth/register", {"username": "ben"})
    with refused("M_INVALID_PARAM", 400):
        await signs_up(server, "ben", phone="+441234567")
    with refused("M_INVALID_PARAM", 400):
        body = {"type": "password", "identifier": {"user": "ann", "email": ADDRESS}, "password": PASSWORD}
        await im_call(server.client(), "POST", "/auth/login", body)


async def test_closed_registration_is_closed_here_too(make_server: ServerFactory) -> None:
    server = make_server(enable_registration=False)
    with refused("M_FORBIDDEN", 403):
        await signs_up(server)


async def test_what_registration_asks_for_beyond(make_server: ServerFactory) -> None:
    server = make_server(registration_requires_token=True)
    client = server.client()
    body = {"username": "ann", "password": PASSWORD}
    challenge = (await client.ask("POST", "/im/v1/auth/register", body)).json
    assert challenge["flows"] == [{"stages": ["m.login.registration_token"]}]
    auth = {"type": "m.login.registration_token", "token": "none", "session": challenge["session"]}
    with refused("M_UNAUTHORIZED", 401):
        await im_call(client, "POST", "/auth/register", {**body, "auth": auth})


async def test_signing_up_and_in_by_code(postal: Postal) -> None:
    assert await postal.sends("register") == {"expires_in": 600, "resend_after": 60}
    begun = await im_call(
        postal.server.client(), "POST", "/auth/register", {"email": ADDRESS, "code": postal.code}
    )
    me = await im_call(with_token(postal.server, begun), "GET", "/users/me")
    assert me["emails"] == [ADDRESS]
    await postal.sends("login", "ANN@example.org")
    again = await postal.logs_in(postal.code)
    assert again["user_id"] == begun["user_id"]
    # A code is good for once.
    with refused("IM_BAD_CODE", 400):
        await postal.logs_in(postal.code)


async def test_a_server_that_sends_no_mail(server: Server) -> None:
    body = {"email": ADDRESS, "purpose": "register"}
    with refused("M_THREEPID_MEDIUM_NOT_SUPPORTED", 400):
        await im_call(server.client(), "POST", "/auth/email/code", body)


async def test_a_code_has_five_tries(postal: Postal) -> None:
    await postal.registers(username="ann")
    await postal.sends("login")
    for _ in range(5):
        with refused("IM_BAD_CODE", 400):
            await postal.logs_in(another(postal.code))
    with refused("IM_CODE_EXPIRED", 410):
        await postal.logs_in(postal.code)
    await postal.server.passes(60)
    await postal.sends("login")
    await postal.logs_in(postal.code)


async def test_a_code_grows_old(postal: Postal) -> None:
    await postal.registers(username="ann")
    await postal.sends("login")
    code = postal.code
    await postal.server.passes(600)
    with refused("IM_CODE_EXPIRED", 410):
        await postal.logs_in(code)
    await postal.sends("login", "else@example.org")
    with refused("IM_CODE_EXPIRED", 410):
        await postal.logs_in(code)


async def test_codes_are_not_sent_in_a_row(postal: Postal) -> None:
    for _ in range(2):
        await postal.sends("register")
        with refused("M_LIMIT_EXCEEDED", 429) as refusal:
            await postal.sends("register")
        assert 0 < refusal.body["retry_after_ms"] <= 60_000
        await postal.server.passes(60)
    assert len(postal.mailbox.messages) == 2


async def test_nobody_learns_whose_address_it_is(postal: Postal) -> None:
    await postal.registers(username="ann")
    sent = len(postal.mailbox.messages)
    assert await postal.sends("login", "nobody@example.org") == await postal.sends("password")
    await postal.server.passes(60)
    # An address that is taken gets no code to register with, and one that is nobody's none to log in with.
    assert await postal.sends("register") == {"expires_in": 600, "resend_after": 60}
    assert len(postal.mailbox.messages) == sent + 1
    with refused("M_INVALID_PARAM", 400):
        await postal.sends("login", "no address")


async def test_a_code_is_for_one_purpose(postal: Postal) -> None:
    begun = await postal.registers(username="ann", password=PASSWORD)
    await postal.sends("login")
    login = postal.code
    body = {"email": ADDRESS, "code": login, "new_password": "a wholly other one"}
    with refused("IM_BAD_CODE", 400):
        await im_call(postal.server.client(), "POST", "/auth/password", body)
    await postal.sends("password")
    with refused("M_WEAK_PASSWORD", 400):
        await im_call(
            postal.server.client(),
            "POST",
            "/auth/password",
            {**body, "code": postal.code, "new_password": ""},
        )
    await im_call(postal.server.client(), "POST", "/auth/password", {**body, "code": postal.code})
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(with_token(postal.server, begun), "GET", "/users/me")
    await logs_in(postal.server, password="a wholly other one")


async def test_a_taken_name_costs_no_code(postal: Postal) -> None:
    await signs_up(postal.server, "taken")
    with refused("M_USER_IN_USE", 400):
        await postal.registers(username="taken")
    body = {"email": ADDRESS, "code": postal.code, "username": "free"}
    assert (await im_call(postal.server.client(), "POST", "/auth/register", body))[
        "user_id"
    ] == "@free:one.test"


async def test_a_code_for_a_stock_client(postal: Postal) -> None:
    begun = await postal.registers(username="ann")
    await postal.sends("login")
    token = (await postal.logs_in(postal.code, as_token=True))["login_token"]
    answer = await postal.server.client().request("POST", "/login", {"type": "m.login.token", "token": token})
    assert answer["user_id"] == begun["user_id"]


async def test_another_password(server: Server) -> None:
    begun = await signs_up(server)
    other = await logs_in(server)
    client = with_token(server, begun)
    with refused("M_FORBIDDEN", 403):
        await im_call(client, "POST", "/auth/password", {"old_password": "wrong", "new_password": "another"})
    with refused("M_MISSING_PARAM", 400):
        await im_call(client, "POST", "/auth/password", {"new_password": "another"})
    await im_call(client, "POST", "/auth/password", {"old_password": PASSWORD, "new_password": "another"})
    await im_call(client, "GET", "/users/me")
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(with_token(server, other), "GET", "/users/me")
    await logs_in(server, password="another")


async def test_sessions(server: Server) -> None:
    begun = await signs_up(server, device_name="phone")
    other = await logs_in(server, device_name="tablet")
    client = with_token(server, begun)
    sessions = (await im_call(client, "GET", "/auth/sessions"))["items"]
    assert {(one["name"], one["current"]) for one in sessions} == {("phone", True), ("tablet", False)}
    await im_call(client, "DELETE", f"/auth/sessions/{other['device_id']}")
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(with_token(server, other), "GET", "/users/me")
    with refused("M_NOT_FOUND", 404):
        await im_call(client, "DELETE", f"/auth/sessions/{other['device_id']}")
    third = await logs_in(server)
    await im_call(client, "POST", "/auth/logout", {})
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(client, "GET", "/users/me")
    fourth = await logs_in(server)
    await im_call(with_token(server, fourth), "POST", "/auth/logout", {"all": True})
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(with_token(server, third), "GET", "/users/me")


async def test_nobody_ends_anothers_session(server: Server, ben: ImUser) -> None:
    begun = await signs_up(server)
    with refused("M_NOT_FOUND", 404):
        await ben.call("DELETE", f"/auth/sessions/{begun['device_id']}")
    await im_call(with_token(server, begun), "GET", "/users/me")


async def test_tokens_are_refreshed_and_a_session_that_is_used_lives(make_server: ServerFactory) -> None:
    server = make_server(im={"access_token_lifetime": "1h", "refresh_token_lifetime": "10h"})
    begun = await signs_up(server)
    assert begun["expires_in_ms"] == HOUR_S * 1000
    await server.passes(HOUR_S)
    with refused("M_UNKNOWN_TOKEN", 401) as refusal:
        await im_call(with_token(server, begun), "GET", "/users/me")
    assert refusal.body["soft_logout"] is True
    for _ in range(3):
        body = {"refresh_token": begun["refresh_token"]}
        begun |= await im_call(server.client(), "POST", "/auth/refresh", body)
        await server.passes(HOUR_S / 2)
        await im_call(with_token(server, begun), "GET", "/users/me")
        # Longer than since the refresh, but not since the use.
        await server.passes(9.9 * HOUR_S)
    await server.passes(HOUR_S)
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(server.client(), "POST", "/auth/refresh", {"refresh_token": begun["refresh_token"]})
    await logs_in(server)


@pytest.fixture
def signing_server(make_server: ServerFactory) -> Server:
    return make_server(im={"token_format": "jwt", "jwt_secret": SECRET})


async def test_tokens_that_say_whose_they_are(signing_server: Server) -> None:
    server = signing_server
    begun = await signs_up(server)
    claims = jwt.decode(
        begun["access_token"],
        SECRET,
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["dev"]) == (begun["user_id"], begun["device_id"])
    assert claims["exp"] == (server.clock.now_ms() + begun["expires_in_ms"]) // 1000
    whoami = await with_token(server, begun).request("GET", "/account/whoami")
    assert whoami["user_id"] == begun["user_id"]
    # One that is signed right but was never given out is nobody's.
    forged = jwt.encode({**claims, "sub": "@admin:one.test"}, SECRET, algorithm="HS256")
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(server.client(forged), "GET", "/users/me")
    refreshed = await im_call(
        server.client(), "POST", "/auth/refresh", {"refresh_token": begun["refresh_token"]}
    )
    assert jwt.get_unverified_header(refreshed["access_token"])["alg"] == "HS256"


async def test_a_signed_token_is_revoked_by_its_name(signing_server: Server) -> None:
    server = signing_server
    begun, other = await signs_up(server), await logs_in(server)
    name = jwt.decode(other["access_token"], options={"verify_signature": False})["jti"]
    await im_call(with_token(server, begun), "DELETE", f"/auth/sessions/{name}")
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(with_token(server, other), "GET", "/users/me")


async def test_the_end_of_an_account(postal: Postal) -> None:
    begun = await postal.registers(username="ann", password=PASSWORD)
    client = with_token(postal.server, begun)
    with refused("M_MISSING_PARAM", 400):
        await im_call(client, "DELETE", "/users/me", {})
    with refused("M_FORBIDDEN", 403):
        await im_call(client, "DELETE", "/users/me", {"password": "wrong"})
    await postal.sends("delete")
    await im_call(client, "DELETE", "/users/me", {"code": postal.code, "erase": True})
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(client, "GET", "/users/me")
    with refused("M_USER_DEACTIVATED", 403):
        await logs_in(postal.server)


async def test_a_name_is_not_given_out_twice(server: Server) -> None:
    begun = await signs_up(server)
    await im_call(with_token(server, begun), "DELETE", "/users/me", {"password": PASSWORD})
    with refused("M_USER_IN_USE", 400):
        await signs_up(server)
