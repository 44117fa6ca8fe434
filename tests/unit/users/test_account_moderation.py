"""Locking, suspending and looking into accounts, over HTTP; and the page to log in on."""

from __future__ import annotations

import pytest

from tests.harness.client import Client
from tests.unit.users.account_server import AccountServer, user_id_of

ALICE, ROOT = user_id_of("alice"), user_id_of("root")
ADMIN = "/_matrix/client/v1/admin"
UNSTABLE = "/_matrix/client/unstable/uk.timedout.msc4323/admin"
WHOIS = "/admin/whois"


async def admin(server: AccountServer, name: str = "root") -> Client:
    client = await server.user(name)
    await server.users.accounts.set_admin(user_id_of(name), admin=True)
    return client


@pytest.mark.parametrize(("verb", "field"), [("lock", "locked"), ("suspend", "suspended")])
class TestModeration:
    async def test_on_and_off(self, server: AccountServer, verb: str, field: str) -> None:
        root, alice = await admin(server), await server.user("alice")
        for base in (ADMIN, UNSTABLE):
            path = f"{base}/{verb}/{ALICE}"
            assert await root.request("GET", path) == {field: False}
            assert await root.request("PUT", path, {field: True}) == {field: True}
            assert await root.request("GET", path) == {field: True}
            refused = await alice.ask("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"})
            assert refused.errcode == ("M_USER_LOCKED" if verb == "lock" else "M_USER_SUSPENDED")
            assert await root.request("PUT", path, {field: False}) == {field: False}
            await alice.request("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"})

    async def test_refusals(self, server: AccountServer, verb: str, field: str) -> None:
        root, alice = await admin(server), await server.user("alice")
        await admin(server, "other")
        await server.session_of("gone")
        await server.users.deactivation.deactivate(user_id_of("gone"), erase=False)
        for user_id, status, errcode in (
            ("@alice:two.test", 400, "M_INVALID_PARAM"),
            ("nonsense", 400, "M_INVALID_PARAM"),
            (user_id_of("nobody"), 404, "M_NOT_FOUND"),
            (user_id_of("gone"), 404, "M_NOT_FOUND"),
            (user_id_of("other"), 403, "M_FORBIDDEN"),
            (ROOT, 403, "M_FORBIDDEN"),
        ):
            for method in ("GET", "PUT"):
                answer = await root.ask(method, f"{ADMIN}/{verb}/{user_id}", {field: True})
                assert (answer.status, answer.errcode) == (status, errcode), (method, user_id)
        for method in ("GET", "PUT"):
            for user_id in (ALICE, user_id_of("nobody")):
                answer = await alice.ask(method, f"{ADMIN}/{verb}/{user_id}", {field: True})
                assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        answer = await root.ask("PUT", f"{ADMIN}/{verb}/{ALICE}", {field: "yes"})
        assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")


class TestWhoIs:
    async def test_oneself(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        client = server.client(session.access_token, address="10.1.2.3")
        await client.ask("GET", "/account/whoami", headers={"User-Agent": "Tester/1"})
        for _ in range(2):
            answer = await client.request("GET", f"{WHOIS}/{ALICE}")
            assert answer["user_id"] == ALICE
            (connection,) = answer["devices"][session.device_id]["sessions"][0]["connections"]
            assert (connection["ip"], connection["user_agent"]) == ("10.1.2.3", "Tester/1")
            await server.users.last_seen.flush()

    async def test_others_are_for_administrators(self, server: AccountServer) -> None:
        root, alice = await admin(server), await server.user("alice")
        answer = await alice.ask("GET", f"{WHOIS}/{ROOT}")
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        assert list((await root.request("GET", f"{WHOIS}/{ALICE}"))["devices"]) == [
            device.device_id for device in await server.users.devices.list_of_user(ALICE)
        ]


async def test_the_login_page_runs_its_own_script_only(server: AccountServer) -> None:
    page = await server.client().ask("GET", "/_matrix/static/client/login/", query={"device_id": "PHONE"})
    assert (page.status, page.media_type) == (200, "text/html")
    assert b"matrixLogin.onLogin" in page.body
    assert b"PHONE" not in page.body
    policy = page.headers["content-security-policy"]
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline'; script" not in policy.partition("script-src")[2]
