"""Devices, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.app.users import UserParts
from homeserver.runtime.notifier import LogKind
from tests.harness.client import Client
from tests.unit.users.account_server import AccountServer, password_auth, user_id_of
from tests.unit.users.appservices import Bridge, OneAppservice
from tests.unit.users.conftest import MakeServer

ALICE = user_id_of("alice")


async def ids(client: Client) -> list[str]:
    return [device["device_id"] for device in (await client.request("GET", "/devices"))["devices"]]


async def confirmed(client: Client, method: str, path: str, name: str, **body: Any) -> dict[str, Any]:
    """Do what needs the password."""
    challenge = await client.ask(method, path, body)
    assert challenge.status == 401, challenge.body
    auth = password_auth(name, challenge.json["session"])
    return await client.request(method, path, {**body, "auth": auth})


async def test_listing_and_looking(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE", display_name="Phone")
    await server.user("alice", device_id="LAPTOP")
    await server.user("bob", device_id="TABLET")
    assert await ids(alice) == ["PHONE", "LAPTOP"] or await ids(alice) == ["LAPTOP", "PHONE"]
    phone = await alice.request("GET", "/devices/PHONE")
    assert (phone["device_id"], phone["display_name"]) == ("PHONE", "Phone")
    assert "display_name" not in await alice.request("GET", "/devices/LAPTOP")
    answer = await alice.ask("GET", "/devices/TABLET")
    assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")


async def test_naming(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE")
    assert await alice.request("PUT", "/devices/PHONE", {"display_name": "My phone"}) == {}
    assert await alice.request("PUT", "/devices/PHONE", {}) == {}
    assert (await alice.request("GET", "/devices/PHONE"))["display_name"] == "My phone"
    assert server.logged(LogKind.DEVICE_LIST) == [(ALICE, "PHONE"), (ALICE, "PHONE")]
    for body in ({"display_name": "x"}, {}):
        answer = await alice.ask("PUT", "/devices/TABLET", body)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
    answer = await alice.ask("PUT", "/devices/PHONE", {"display_name": "x" * 101})
    assert (answer.status, answer.errcode) == (400, "M_TOO_LARGE")
    answer = await alice.ask("PUT", "/devices/PHONE", {"display_name": 7})
    assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")
    await alice.request("PUT", "/devices/PHONE", {"display_name": "a\u0000b"})
    assert (await alice.request("GET", "/devices/PHONE"))["display_name"] == "ab"


async def test_deleting_needs_the_password(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE")
    laptop = await server.user("alice", device_id="LAPTOP")
    challenge = await alice.ask("DELETE", "/devices/LAPTOP", {})
    assert challenge.status == 401
    wrong = password_auth("alice", challenge.json["session"], password="wrong")
    refused = await alice.ask("DELETE", "/devices/LAPTOP", {"auth": wrong})
    assert (refused.status, refused.errcode) == (401, "M_FORBIDDEN")
    assert refused.json["session"] == challenge.json["session"]
    auth = password_auth("alice", challenge.json["session"])
    assert await alice.request("DELETE", "/devices/LAPTOP", {"auth": auth}) == {}
    assert await ids(alice) == ["PHONE"]
    assert (await laptop.ask("GET", "/devices")).errcode == "M_UNKNOWN_TOKEN"
    assert server.logged(LogKind.DEVICE_LIST)[-1] == (ALICE, "LAPTOP")


async def test_deleting_what_is_gone(server: AccountServer) -> None:
    alice = await server.user("alice")
    assert await confirmed(alice, "DELETE", "/devices/TABLET", "alice") == {}


async def test_deleting_several(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE")
    for device in ("A", "B", "C"):
        await server.user("alice", device_id=device)
    await confirmed(alice, "POST", "/delete_devices", "alice", devices=["A", "C", "gone"])
    assert sorted(await ids(alice)) == ["B", "PHONE"]
    answer = await alice.ask("POST", "/delete_devices", {"devices": "A"})
    assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")
    answer = await alice.ask("POST", "/delete_devices", {})
    assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")


async def test_one_proof_lasts_for_a_moment(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE")
    for device in ("A", "B", "C"):
        await server.user("alice", device_id=device)
    session = (await alice.ask("DELETE", "/devices/A", {})).json["session"]
    await alice.request("DELETE", "/devices/A", {"auth": password_auth("alice", session)})
    await alice.request("DELETE", "/devices/B", {"auth": {"session": session}})
    await server.clock.sleep(16)
    answer = await alice.ask("DELETE", "/devices/C", {"auth": {"session": session}})
    assert answer.status == 401
    assert sorted(await ids(alice)) == ["C", "PHONE"]


class TestApplicationServices:
    @pytest.fixture
    def server(self, make_server: MakeServer) -> AccountServer:
        return make_server(UserParts(appservices=OneAppservice(Bridge())))

    async def bob(self, server: AccountServer) -> dict[str, str]:
        await server.client("bridge-token").request(
            "POST",
            "/register",
            {"type": "m.login.application_service", "username": "_irc_bob", "inhibit_login": True},
        )
        return {"user_id": "@_irc_bob:one.test"}

    async def test_they_create_rename_and_delete_without_proof(self, server: AccountServer) -> None:
        who = await self.bob(server)
        bridge = server.client("bridge-token")
        created = await bridge.ask("PUT", "/devices/BOT", {"display_name": "Bot"}, query=who)
        assert (created.status, created.json) == (201, {})
        renamed = await bridge.ask("PUT", "/devices/BOT", {"display_name": "Robot"}, query=who)
        assert (renamed.status, renamed.json) == (200, {})
        assert (await bridge.request("GET", "/devices/BOT", query=who))["display_name"] == "Robot"
        assert await bridge.request("DELETE", "/devices/BOT", query=who) == {}
        await bridge.ask("PUT", "/devices/BOT", {}, query=who)
        assert await bridge.request("POST", "/delete_devices", {"devices": ["BOT"]}, query=who) == {}
        assert (await bridge.ask("GET", "/devices/BOT", query=who)).status == 404

    async def test_they_act_as_their_users_and_devices(self, server: AccountServer) -> None:
        who = await self.bob(server)
        bridge = server.client("bridge-token")
        await bridge.ask("PUT", "/devices/BOT", {}, query=who)
        whoami = await bridge.request("GET", "/account/whoami", query={**who, "device_id": "BOT"})
        assert whoami == {"user_id": "@_irc_bob:one.test", "device_id": "BOT", "is_guest": False}
        for _ in range(2):
            whoami = await bridge.request("GET", "/account/whoami", query=who)
            assert "device_id" not in whoami
        unknown = await bridge.ask("GET", "/account/whoami", query={**who, "device_id": "NONE"})
        assert (unknown.status, unknown.errcode) == (400, "M_UNKNOWN_DEVICE")

    @pytest.mark.parametrize(
        ("user_id", "status", "errcode"),
        [
            ("@alice:one.test", 403, "M_FORBIDDEN"),
            ("@_irc_nobody:one.test", 403, "M_FORBIDDEN"),
            ("nonsense", 400, "M_INVALID_PARAM"),
        ],
    )
    async def test_they_act_as_nobody_else(
        self, server: AccountServer, user_id: str, status: int, errcode: str
    ) -> None:
        await server.session_of("alice")
        answer = await server.client("bridge-token").ask("GET", "/account/whoami", query={"user_id": user_id})
        assert (answer.status, answer.errcode) == (status, errcode)

    async def test_what_happens_to_a_user_happens_to_the_service(self, server: AccountServer) -> None:
        who = await self.bob(server)
        bridge = server.client("bridge-token")
        await bridge.request("GET", "/account/whoami", query=who)
        await server.users.accounts.set_locked(user_id_of("_irc_bob"), locked=True)
        assert (await bridge.ask("GET", "/account/whoami", query=who)).errcode == "M_USER_LOCKED"
        await server.users.deactivation.deactivate(user_id_of("_irc_bob"), erase=False)
        assert (await bridge.ask("GET", "/account/whoami", query=who)).errcode == "M_FORBIDDEN"

    async def test_registration_in_their_namespace_is_theirs(self, server: AccountServer) -> None:
        body = {"username": "_irc_bob", "password": "pw"}
        answer = await server.client().ask("POST", "/register", body)
        assert (answer.status, answer.errcode) == (400, "M_EXCLUSIVE")
        answer = await server.client().ask("GET", "/register/available", query={"username": "_irc_bob"})
        assert (answer.status, answer.errcode) == (400, "M_EXCLUSIVE")
        body = {"type": "m.login.application_service", "username": "_irc_bob"}
        answer = await server.client().ask("POST", "/register", body)
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        bridge = server.client("bridge-token")
        answer = await bridge.ask("POST", "/register", {**body, "username": "alice"})
        assert (answer.status, answer.errcode) == (400, "M_EXCLUSIVE")
        answer = await bridge.ask("POST", "/register", {"type": body["type"]})
        assert (answer.status, answer.errcode) == (400, "M_MISSING_PARAM")
        registered = await bridge.request("POST", "/register", body)
        assert registered["access_token"]
        answer = await bridge.ask("POST", "/register", body)
        assert (answer.status, answer.errcode) == (400, "M_USER_IN_USE")


async def test_devices_that_nobody_has_seen_for_long_are_logged_out(make_server: MakeServer) -> None:
    server = make_server(delete_stale_devices_after="2d")
    for number in range(101):
        await server.session_of("bob", device_id=f"OLD{number}")
    alice, bob = await server.user("alice", device_id="USED"), await server.user("bob", device_id="NEW")
    server.users.start()
    for _ in range(3):
        await server.clock.sleep(24 * 3600)
        await alice.ask("GET", "/account/whoami")
    assert await ids(alice) == ["USED"]
    assert (await bob.ask("GET", "/account/whoami")).errcode == "M_UNKNOWN_TOKEN"
    assert await server.users.devices.list_of_user(user_id_of("bob")) == []
    await server.users.stop()


async def test_by_default_devices_are_never_logged_out(server: AccountServer) -> None:
    alice = await server.user("alice")
    server.users.start()
    await server.clock.sleep(6 * 24 * 3600)
    assert (await alice.ask("GET", "/account/whoami")).status == 200
    await server.users.stop()
