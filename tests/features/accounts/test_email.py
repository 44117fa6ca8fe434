"""Addresses: registering with one, resetting a password by one, adding and removing them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.features.accounts.browser import Browser
from tests.features.accounts.mailbox import Mailbox
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client import Client
from tests.harness.configuration import PASSWORD
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.unit.http.outside import Outside

ADDRESS = "alice@example.org"
SECRET = "monkeys_are_GREAT"


class Postal:
    """A server that sends mail, and the mailbox that it goes to."""

    def __init__(self, reactor: VirtualReactor, engine: Engine, name: str) -> None:
        self._made = (reactor, engine, name)
        self.mailbox = Mailbox(hearth="mail password")
        self.running: list[Server] = []

    def starts(self, **settings: Any) -> Server:
        reactor, engine, name = self._made
        email = {
            "smtp_host": "127.0.0.1",
            "smtp_user": "hearth",
            "smtp_pass": "mail password",
            "notif_from": "%(app)s <noreply@one.test>",
            **settings.pop("email", {}),
        }
        server = Server(reactor, engine, seed=name, email=email, **settings)
        server.network = Outside(reactor)
        server.network.servers["127.0.0.1", 25] = self.mailbox
        reactor.drive(server.starts())
        self.running.append(server)
        return server


@pytest.fixture
def postal(reactor: VirtualReactor, engine: Engine, request: pytest.FixtureRequest) -> Any:
    made = Postal(reactor, engine, request.node.name)
    yield made
    for server in made.running:
        reactor.drive(server.stops())


async def asks(client: Client, what: str, address: str = ADDRESS, **more: Any) -> str:
    """Ask for a mail."""
    body = {"client_secret": SECRET, "email": address, "send_attempt": 1, **more}
    return str((await client.request("POST", f"/{what}/email/requestToken", body))["sid"])


async def confirms(server: Server, mailbox: Mailbox) -> Browser:
    """Open the link of the latest mail, and press its button."""
    browser = await Browser(server).opens(mailbox.link)
    return await browser.submits()


def proof(sid: str, session: str) -> dict[str, Any]:
    creds = {"sid": sid, "client_secret": SECRET}
    return {"type": "m.login.email.identity", "threepid_creds": creds, "session": session}


async def registers(server: Server, postal: Postal, name: str = "alice") -> Client:
    """Register with an address."""
    client = server.client()
    sid = await asks(client, "register")
    body = {"username": name, "password": PASSWORD}
    challenge = (await client.ask("POST", "/register", body)).json
    assert {"stages": ["m.login.email.identity"]} in challenge["flows"]
    auth = proof(sid, challenge["session"])
    early = await client.ask("POST", "/register", {**body, "auth": auth})
    assert (early.status, early.errcode) == (401, "M_UNAUTHORIZED")
    await confirms(server, postal.mailbox)
    client.access_token = (await client.request("POST", "/register", {**body, "auth": auth}))["access_token"]
    return client


async def test_registering_with_an_address(postal: Postal) -> None:
    server = postal.starts()
    client = await registers(server, postal)
    (threepid,) = (await client.request("GET", "/account/3pid"))["threepids"]
    assert (threepid["medium"], threepid["address"]) == ("email", ADDRESS)
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": ADDRESS},
        "password": PASSWORD,
    }
    assert (await server.client().request("POST", "/login", login))["user_id"] == "@alice:one.test"
    message = postal.mailbox.messages[0]
    assert message["To"] == ADDRESS
    assert message["From"] == "Hearth <noreply@one.test>"
    assert message["Subject"] == "[one.test] Confirm your e-mail address"
    assert postal.mailbox.link.replace("&", "&amp;") in postal.mailbox.part("html")
    assert postal.mailbox.logins == [b"hearth"]


async def test_another_password_by_mail(postal: Postal) -> None:
    server = postal.starts()
    old = await registers(server, postal)
    client = server.client()
    sid = await asks(client, "account/password", " ALICE@example.org".strip())
    body = {"new_password": "a wholly other one"}
    challenge = (await client.ask("POST", "/account/password", body)).json
    auth = proof(sid, challenge["session"])
    assert (await client.ask("POST", "/account/password", {**body, "auth": auth})).status == 401
    await confirms(server, postal.mailbox)
    await client.request("POST", "/account/password", {**body, "auth": auth})
    assert (await old.ask("GET", "/account/whoami")).status == 401
    await server.logs_in("alice", password="a wholly other one")
    with refused("M_FORBIDDEN"):
        await server.logs_in("alice")
    # The proof was good for once.
    again = (await client.ask("POST", "/account/password", body)).json
    auth = proof(sid, again["session"])
    assert (await client.ask("POST", "/account/password", {**body, "auth": auth})).status == 401


async def test_a_proof_is_for_one_purpose(postal: Postal) -> None:
    server = postal.starts()
    await registers(server, postal)
    bob = await server.user("bob")
    sid = await asks(bob, "account/3pid", "bob@example.org")
    await confirms(server, postal.mailbox)
    client = server.client()
    body = {"new_password": "a wholly other one"}
    challenge = (await client.ask("POST", "/account/password", body)).json
    auth = proof(sid, challenge["session"])
    assert (await client.ask("POST", "/account/password", {**body, "auth": auth})).status == 401


async def test_adding_and_removing_an_address(postal: Postal) -> None:
    server = postal.starts()
    alice = await server.user("alice")
    sid = await asks(alice, "account/3pid")
    body = {"sid": sid, "client_secret": SECRET}
    with refused("M_THREEPID_AUTH_FAILED", 403):
        await alice.confirms("POST", "/account/3pid/add", body)
    await confirms(server, postal.mailbox)
    assert "flows" in (await alice.ask("POST", "/account/3pid/add", body)).json
    await alice.confirms("POST", "/account/3pid/add", body)
    (threepid,) = (await alice.request("GET", "/account/3pid"))["threepids"]
    assert threepid["address"] == ADDRESS
    gone = {"medium": "email", "address": "Alice@Example.org"}
    answer = await alice.request("POST", "/account/3pid/delete", gone)
    assert answer == {"id_server_unbind_result": "no-support"}
    assert (await alice.request("GET", "/account/3pid"))["threepids"] == []
    assert (await alice.request("POST", "/account/3pid/unbind", gone))[
        "id_server_unbind_result"
    ] == "no-support"


async def test_nobody_learns_which_addresses_are_used(postal: Postal) -> None:
    server = postal.starts()
    await registers(server, postal)
    sent = len(postal.mailbox.messages)
    await asks(server.client(), "register", client_secret="another")
    await asks(server.client(), "account/password", "nobody@example.org")
    assert len(postal.mailbox.messages) == sent


async def test_unless_the_server_tells(postal: Postal) -> None:
    server = postal.starts(request_token_inhibit_3pid_errors=False)
    await registers(server, postal)
    with refused("M_THREEPID_IN_USE", 400):
        await asks(server.client(), "register", client_secret="another")
    with refused("M_THREEPID_NOT_FOUND", 400):
        await asks(server.client(), "account/password", "nobody@example.org")
    bob = await server.user("bob")
    with refused("M_THREEPID_IN_USE", 400):
        await asks(bob, "account/3pid")


async def test_one_mail_for_each_attempt(postal: Postal) -> None:
    server = postal.starts()
    client = server.client()
    sid = await asks(client, "register")
    first = postal.mailbox.link
    assert await asks(client, "register") == sid
    assert len(postal.mailbox.messages) == 1
    assert await asks(client, "register", send_attempt=2) == sid
    assert len(postal.mailbox.messages) == 2
    # The first mail's link works no longer.
    browser = await Browser(server).opens(first)
    assert "did not work" in (await browser.submits()).text
    assert "Thank you" in (await confirms(server, postal.mailbox)).text


async def test_links_expire(postal: Postal) -> None:
    server = postal.starts()
    await asks(server.client(), "register")
    await server.passes(3601)
    assert "expired" in (await confirms(server, postal.mailbox)).text


@pytest.mark.parametrize(
    "next_link",
    [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "https://one.test@evil.example/",
        "https://one.test\\@evil",
    ],
)
async def test_links_lead_nowhere_else(postal: Postal, next_link: str) -> None:
    server = postal.starts()
    await asks(server.client(), "register", next_link=next_link)
    browser = await confirms(server, postal.mailbox)
    assert browser.left_for is None
    assert "Thank you" in browser.text


async def test_links_lead_back_to_the_client(postal: Postal) -> None:
    server = postal.starts(email={"client_base_url": "https://app.example.com"})
    await asks(server.client(), "register", next_link="https://app.example.com/welcome")
    assert (await confirms(server, postal.mailbox)).left_for == "https://app.example.com/welcome"


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"email": "nobody"}, "M_INVALID_PARAM"),
        ({"email": "a@b\r\nBcc: c@d"}, "M_INVALID_PARAM"),
        ({"email": "a@b,c@d"}, "M_INVALID_PARAM"),
        ({"email": "<a@b>"}, "M_INVALID_PARAM"),
        ({"client_secret": "no spaces"}, "M_INVALID_PARAM"),
        ({"client_secret": "x" * 256}, "M_INVALID_PARAM"),
        ({"send_attempt": "one"}, "M_BAD_JSON"),
    ],
)
async def test_what_cannot_be_asked_for(postal: Postal, changes: dict[str, Any], errcode: str) -> None:
    client = postal.starts().client()
    body = {"client_secret": SECRET, "email": ADDRESS, "send_attempt": 1, **changes}
    for what in ("register", "account/password", "account/3pid"):
        with refused(errcode, 400):
            await client.request("POST", f"/{what}/email/requestToken", body)
    assert not postal.mailbox.messages


async def test_addresses_that_the_server_does_not_want(postal: Postal) -> None:
    rules = [{"medium": "email", "pattern": r"[^@]*@example\.org"}]
    client = postal.starts(allowed_local_3pids=rules).client()
    for what in ("register", "account/password", "account/3pid"):
        with refused("M_THREEPID_DENIED", 403):
            await asks(client, what, "alice@example.org.evil.com")
    await asks(client, "register")


async def test_addresses_stay_as_they_are_if_the_operator_wants_that(postal: Postal) -> None:
    client = postal.starts(enable_3pid_changes=False).client()
    with refused("M_FORBIDDEN", 403):
        await asks(client, "account/3pid")
    phone = {"client_secret": SECRET, "country": "GB", "phone_number": "07700900001", "send_attempt": 1}
    with refused("M_FORBIDDEN", 403):
        await client.request("POST", "/account/3pid/msisdn/requestToken", phone)


async def test_pages_of_links_are_text(postal: Postal) -> None:
    server = postal.starts()
    evil = "/_hearth/client/email/submit_token?sid=%22%3E%3Cscript%3E&token=x"
    browser = await Browser(server).opens(evil)
    assert "<script" not in browser.text
    assert "default-src 'none'" in browser.header("content-security-policy")


async def test_a_mail_server_that_does_not_answer(postal: Postal) -> None:
    server = postal.starts()
    server.network.servers.clear()
    body = {"client_secret": SECRET, "email": ADDRESS, "send_attempt": 1}
    answer = await server.client().ask("POST", "/register/email/requestToken", body)
    assert answer.status == 502
    assert ADDRESS not in answer.json["error"]


async def test_a_server_without_mail(server: Server) -> None:
    client = server.client()
    for what in ("register", "account/password", "account/3pid"):
        with refused("M_THREEPID_MEDIUM_NOT_SUPPORTED", 400):
            await asks(client, what)
    alice = await server.user("alice")
    phone = {"client_secret": SECRET, "country": "GB", "phone_number": "07700900123", "send_attempt": 1}
    for what in ("register", "account/password", "account/3pid"):
        with refused("M_THREEPID_MEDIUM_NOT_SUPPORTED", 400):
            await client.request("POST", f"/{what}/msisdn/requestToken", phone)
    creds = {"client_secret": SECRET, "id_server": "id.test", "id_access_token": "x", "sid": "1"}
    with refused("M_SERVER_NOT_TRUSTED", 400):
        await alice.request("POST", "/account/3pid", {"three_pid_creds": creds})
    assert (await alice.ask("POST", "/account/3pid/bind", creds)).status == 502
