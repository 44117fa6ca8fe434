"""Telephone numbers: proved by the link in a text message, which the operator's gateway sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from tests.features.accounts.browser import Browser
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client import Client
from tests.harness.configuration import PASSWORD
from tests.harness.im_user import im_call
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.unit.http.outside import Outside

SECRET = "monkeys_are_GREAT"
NUMBER = {"country": "GB", "phone_number": "07700 900001"}


class Gateway:
    """Takes text messages. `status` is what it answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.status = 200

    @endpoint("POST", "/send", auth=Auth.NONE)
    async def send(self, request: Request, body: dict[str, Any]) -> Response:
        assert request.header("Authorization") == "Bearer token of the gateway"
        self.messages.append(body)
        return Response(self.status, {})

    def link(self) -> str:
        return self.messages[-1]["text"].rpartition(" ")[2]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def server(
    reactor: VirtualReactor,
    engine: Engine,
    gateway: Gateway,
    settings: dict[str, Any],
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    sms = {"gateway_url": "http://sms.test/send", "gateway_token": "token of the gateway"}
    rules = [{"medium": "msisdn", "pattern": r"44\d+"}]
    server = Server(reactor, engine, seed=request.node.name, sms=sms, allowed_local_3pids=rules, **settings)
    server.network = Outside(reactor)
    server.network.names["sms.test"] = ["10.0.0.7"]
    server.network.servers["10.0.0.7", 80] = HttpServer(
        Router([gateway], {}, Unlimited()), server.clock, write_access=None
    )
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())


async def asks(client: Client, what: str, **changes: Any) -> str:
    body = {"client_secret": SECRET, "send_attempt": 1, **NUMBER, **changes}
    return str((await client.request("POST", f"/{what}/msisdn/requestToken", body))["sid"])


async def confirms(server: Server, gateway: Gateway) -> None:
    parts = urlsplit(gateway.link())
    browser = await Browser(server).opens(f"{parts.path}?{parts.query}")
    assert "Thank you" in (await browser.submits()).text


def proof(sid: str, session: str) -> dict[str, Any]:
    creds = {"sid": sid, "client_secret": SECRET}
    return {"type": "m.login.msisdn", "threepid_creds": creds, "session": session}


async def test_a_number_is_proved_used_and_forgotten(server: Server, gateway: Gateway) -> None:
    client = server.client()
    sid = await asks(client, "register")
    assert gateway.messages[0]["to"] == "+447700900001"
    body = {"username": "alice", "password": PASSWORD}
    session = (await client.ask("POST", "/register", body)).json["session"]
    early = await client.ask("POST", "/register", {**body, "auth": proof(sid, session)})
    assert (early.status, early.errcode) == (401, "M_UNAUTHORIZED")
    await confirms(server, gateway)
    answer = await client.request("POST", "/register", {**body, "auth": proof(sid, session)})
    client.access_token = answer["access_token"]
    (threepid,) = (await client.request("GET", "/account/3pid"))["threepids"]
    assert (threepid["medium"], threepid["address"]) == ("msisdn", "447700900001")
    identifier = {"type": "m.id.phone", "country": "GB", "phone": "07700 900 001"}
    login = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    assert (await server.client().request("POST", "/login", login))["user_id"] == "@alice:one.test"

    # Who has forgotten the password proves that they still have the telephone.
    sid = await asks(client, "account/password", client_secret="another")
    await confirms(server, gateway)
    changed = {"new_password": "another that nobody guesses"}
    session = (await server.client().ask("POST", "/account/password", changed)).json["session"]
    auth = proof(sid, session)
    auth["threepid_creds"]["client_secret"] = "another"
    await server.client().request("POST", "/account/password", {**changed, "auth": auth})
    again = await server.client().request("POST", "/login", {**login, "password": changed["new_password"]})
    assert again["user_id"] == "@alice:one.test"


async def test_another_number_is_added(server: Server, gateway: Gateway) -> None:
    alice = await server.user("alice")
    sid = await asks(alice, "account/3pid")
    with refused("M_THREEPID_AUTH_FAILED", 403):
        await alice.confirms("POST", "/account/3pid/add", {"sid": sid, "client_secret": SECRET})
    await confirms(server, gateway)
    await alice.confirms("POST", "/account/3pid/add", {"sid": sid, "client_secret": SECRET})
    (threepid,) = (await alice.request("GET", "/account/3pid"))["threepids"]
    assert threepid["address"] == "447700900001"
    # Nobody learns from the answer whose it is, and no message is sent.
    sent = len(gateway.messages)
    await asks(server.client(), "register", client_secret="other")
    assert len(gateway.messages) == sent


@pytest.mark.parametrize("what", ["register", "account/password", "account/3pid"])
async def test_numbers_that_will_not_do(server: Server, gateway: Gateway, what: str) -> None:
    client = server.client()
    for changes in ({"phone_number": "911 <script>"}, {"country": "??"}, {"phone_number": ""}):
        with refused("M_INVALID_PARAM", 400):
            await asks(client, what, **changes)
    with refused("M_THREEPID_DENIED", 403):
        await asks(client, what, country="US", phone_number="202 555 0100")
    assert gateway.messages == []


@pytest.mark.parametrize("settings", [{"request_token_inhibit_3pid_errors": False}])
async def test_whose_a_number_is_may_be_told(server: Server, gateway: Gateway) -> None:
    alice = await server.user("alice")
    with refused("M_THREEPID_NOT_FOUND", 400):
        await asks(server.client(), "account/password")
    sid = await asks(alice, "account/3pid")
    await confirms(server, gateway)
    await alice.confirms("POST", "/account/3pid/add", {"sid": sid, "client_secret": SECRET})
    for what in ("register", "account/3pid"):
        with refused("M_THREEPID_IN_USE", 400):
            await asks(server.client(), what)


async def test_a_gateway_that_does_not_take_it(server: Server, gateway: Gateway) -> None:
    gateway.status = 503
    with refused("M_UNKNOWN", 502):
        await asks(server.client(), "register")


async def test_a_number_is_proved_to_the_im_api(server: Server, gateway: Gateway) -> None:
    client = server.client()
    sid = await asks(client, "register")
    body = {"username": "alice", "password": PASSWORD}
    auth = {key: value for key, value in proof(sid, "").items() if key != "session"}
    with refused("M_UNAUTHORIZED", 401):
        await im_call(client, "POST", "/auth/register", {**body, "auth": auth})
    await confirms(server, gateway)
    client.access_token = (await im_call(client, "POST", "/auth/register", {**body, "auth": auth}))[
        "access_token"
    ]
    assert (await im_call(client, "GET", "/users/me"))["phones"] == ["447700900001"]
    login = {"type": "password", "identifier": {"phone": "+447700900001"}, "password": PASSWORD}
    assert (await im_call(server.client(), "POST", "/auth/login", login))["user_id"] == "@alice:one.test"
