"""Logging in and out, over HTTP."""

from __future__ import annotations

from typing import Any

import bcrypt
import pytest

from homeserver.app.users import UserParts
from homeserver.ids import DeviceID
from homeserver.runtime.notifier import LogKind
from homeserver.users.session_events import SessionEvent
from storage import threepids, users
from storage.threepids import Threepid
from tests.unit.users.account_server import PASSWORD, AccountServer, password_auth, user_id_of
from tests.unit.users.appservices import Bridge, OneAppservice
from tests.unit.users.conftest import MakeServer

LOGIN = "/login"


def by_password(name: str = "alice", password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    return {**password_auth(name, password=password), **more}


async def test_flows(server: AccountServer) -> None:
    flows = (await server.client().request("GET", LOGIN))["flows"]
    assert {"type": "m.login.password"} in flows
    assert {"type": "m.login.token", "get_login_token": True} in flows
    assert {"type": "m.login.application_service"} in flows


async def test_a_user_logs_in(server: AccountServer) -> None:
    await server.session_of("alice")
    client = server.client()
    answer = await client.request("POST", LOGIN, by_password(initial_device_display_name="Laptop"))
    assert answer["user_id"] == "@alice:one.test"
    client.access_token = answer["access_token"]
    device = await client.request("GET", f"/devices/{answer['device_id']}")
    assert device["display_name"] == "Laptop"


@pytest.mark.parametrize(
    "who",
    [
        {"identifier": {"type": "m.id.user", "user": "@alice:one.test"}},
        {"identifier": {"type": "m.id.user", "user": "Alice"}},
        {"user": "alice"},
        {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "Alice@Example.org"}},
        {"identifier": {"medium": "email", "address": "alice@example.org"}},
        {"medium": "email", "address": "alice@example.org"},
        {"identifier": {"type": "m.id.thirdparty", "medium": "msisdn", "address": "447700900123"}},
        {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "07700 900-123"}},
        {"identifier": {"type": "m.id.phone", "country": "FR", "number": "+44 7700 900123"}},
    ],
)
async def test_the_ways_to_name_oneself(server: AccountServer, who: dict[str, Any]) -> None:
    await server.session_of("alice")
    await server.db.run(threepids.add, "@alice:one.test", Threepid("email", "alice@example.org", 1, 1))
    await server.db.run(threepids.add, "@alice:one.test", Threepid("msisdn", "447700900123", 1, 1))
    body = {"type": "m.login.password", "password": PASSWORD, **who}
    assert (await server.client().request("POST", LOGIN, body))["user_id"] == "@alice:one.test"


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (by_password(password="wrong"), 403, "M_FORBIDDEN"),
        (by_password("nobody"), 403, "M_FORBIDDEN"),
        (by_password("@alice:elsewhere.test"), 403, "M_FORBIDDEN"),
        (by_password(password="x" * 10_000), 403, "M_FORBIDDEN"),
        ({"type": "m.login.password", "password": PASSWORD}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "user": "alice"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "identifier": {}, "password": "x"}, 400, "M_INVALID_PARAM"),
        (
            {"type": "m.login.password", "identifier": {"type": "m.id.user"}, "password": "x"},
            400,
            "M_BAD_JSON",
        ),
        ({"type": "m.login.magic"}, 400, "M_UNKNOWN"),
        ({}, 400, "M_BAD_JSON"),
        ({"type": "m.login.token"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.token", "token": "nonsense"}, 403, "M_FORBIDDEN"),
        ({"type": "m.login.application_service"}, 403, "M_FORBIDDEN"),
        (by_password(device_id=""), 400, "M_INVALID_PARAM"),
        (by_password(device_id="d" * 300), 400, "M_INVALID_PARAM"),
        (by_password(initial_device_display_name="d" * 300), 400, "M_TOO_LARGE"),
    ],
)
async def test_refusals(server: AccountServer, body: dict[str, Any], status: int, errcode: str) -> None:
    await server.session_of("alice")
    answer = await server.client().ask("POST", LOGIN, body)
    assert (answer.status, answer.errcode) == (status, errcode)


async def test_who_cannot_log_in(server: AccountServer) -> None:
    await server.session_of("alice")
    alice = user_id_of("alice")
    accounts = server.users.accounts
    await accounts.set_locked(alice, locked=True)
    answer = await server.client().ask("POST", LOGIN, by_password())
    assert (answer.status, answer.errcode, answer.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    await accounts.set_locked(alice, locked=False)
    await accounts.set_approved(alice, approved=False)
    answer = await server.client().ask("POST", LOGIN, by_password())
    assert (answer.status, answer.errcode) == (403, "M_USER_AWAITING_APPROVAL")
    await server.users.deactivation.deactivate(alice, erase=False)
    answer = await server.client().ask("POST", LOGIN, by_password())
    assert (answer.status, answer.errcode) == (403, "M_USER_DEACTIVATED")


async def test_a_migrated_password_is_hashed_anew(server: AccountServer) -> None:
    await server.session_of("alice")
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await server.db.run(_set_hash, old)
    assert (await server.client().ask("POST", LOGIN, by_password(password="wrong"))).status == 403
    assert (await server.client().ask("POST", LOGIN, by_password())).status == 200
    account = await server.users.accounts.load(user_id_of("alice"))
    assert account.password_hash is not None
    assert account.password_hash.startswith("$argon2id$")
    assert (await server.client().ask("POST", LOGIN, by_password())).status == 200
    await server.db.run(_set_hash, "$2b$broken")
    assert (await server.client().ask("POST", LOGIN, by_password())).status == 403


def _set_hash(txn: Any, password_hash: str) -> None:
    users.update(txn, "@alice:one.test", password_hash=password_hash)


async def test_a_known_device_keeps_its_name_and_loses_its_token(server: AccountServer) -> None:
    old = await server.session_of("alice", device_id="PHONE", display_name="Phone")
    body = by_password(device_id="PHONE", initial_device_display_name="Other")
    answer = await server.client().request("POST", LOGIN, body)
    assert answer["device_id"] == "PHONE"
    client = server.client(answer["access_token"])
    assert (await client.request("GET", "/devices/PHONE"))["display_name"] == "Phone"
    refused = await server.client(old.access_token).ask("GET", "/account/whoami")
    assert (refused.status, refused.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert server.logged(LogKind.DEVICE_LIST) == [("@alice:one.test", "PHONE")], "no second device"


async def test_a_device_cannot_have_the_id_of_a_cross_signing_key(make_server: MakeServer) -> None:
    server = make_server(UserParts(is_reserved_device_id=lambda txn, user, device: device == "MASTERKEY"))
    await server.session_of("alice")
    answer = await server.client().ask("POST", LOGIN, by_password(device_id="MASTERKEY"))
    assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")


async def test_attempts_are_limited_by_account(make_server: MakeServer) -> None:
    rates = {
        "account": {"per_second": 0.1, "burst_count": 3},
        "address": {"per_second": 100, "burst_count": 100},
    }
    server = make_server(enable_rate_limits=True, rc_login=rates)
    await server.session_of("alice")
    statuses = [(await server.client().ask("POST", LOGIN, by_password())).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


async def test_who_fails_too_often_may_not_even_succeed(make_server: MakeServer) -> None:
    free = {"per_second": 100, "burst_count": 100}
    failures = {"per_second": 0.1, "burst_count": 2}
    server = make_server(
        enable_rate_limits=True, rc_login={"account": free, "address": free, "failed_attempts": failures}
    )
    await server.session_of("alice")
    wrong = by_password(password="wrong")
    statuses = [(await server.client().ask("POST", LOGIN, wrong)).status for _ in range(3)]
    assert statuses == [403, 403, 403]
    assert (await server.client().ask("POST", LOGIN, by_password())).status == 429
    await server.clock.sleep(11)
    assert (await server.client().ask("POST", LOGIN, by_password())).status == 200


async def test_passwords_can_be_switched_off(make_server: MakeServer) -> None:
    server = make_server(password_config={"enabled": False})
    await server.session_of("alice")
    assert {"type": "m.login.password"} not in (await server.client().request("GET", LOGIN))["flows"]
    answer = await server.client().ask("POST", LOGIN, by_password())
    assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")


async def test_the_well_known_address_is_told(make_server: MakeServer) -> None:
    server = make_server(public_baseurl="https://matrix.one.test/")
    await server.session_of("alice")
    answer = await server.client().request("POST", LOGIN, by_password())
    assert answer["well_known"] == {"m.homeserver": {"base_url": "https://matrix.one.test"}}


class TestLoginTokens:
    PATH = "/_matrix/client/v1/login/get_token"

    async def test_one_more_device_of_the_same_user(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        challenge = await alice.ask("POST", self.PATH)
        assert challenge.status == 401
        assert challenge.json["flows"] == [{"stages": ["m.login.password"]}]
        auth = password_auth("alice", challenge.json["session"])
        answer = await alice.request("POST", self.PATH, {"auth": auth})
        assert answer["expires_in_ms"] == 120_000
        body = {"type": "m.login.token", "token": answer["login_token"]}
        assert (await server.client().request("POST", LOGIN, body))["user_id"] == "@alice:one.test"
        spent = await server.client().ask("POST", LOGIN, body)
        assert (spent.status, spent.errcode) == (403, "M_FORBIDDEN")
        again = await alice.ask("POST", self.PATH, {"auth": auth})
        assert (again.status, again.errcode) == (400, "M_INVALID_PARAM"), "every token needs its own proof"

    async def test_a_token_expires(self, server: AccountServer) -> None:
        await server.session_of("alice")
        token = await server.users.short_tokens.issue_login(user_id_of("alice"))
        await server.clock.sleep(121)
        answer = await server.client().ask("POST", LOGIN, {"type": "m.login.token", "token": token})
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")

    async def test_a_login_token_is_no_other_token(self, server: AccountServer) -> None:
        await server.session_of("alice")
        token = await server.users.short_tokens.issue_openid(user_id_of("alice"))
        answer = await server.client().ask("POST", LOGIN, {"type": "m.login.token", "token": token})
        assert answer.errcode == "M_FORBIDDEN"
        answer = await server.client(token).ask("GET", "/account/whoami")
        assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")

    async def test_switched_off(self, make_server: MakeServer) -> None:
        server = make_server(login_via_existing_session={"enabled": False})
        answer = await (await server.user("alice")).ask("POST", self.PATH)
        assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")

    async def test_without_proof_if_the_operator_wishes(self, make_server: MakeServer) -> None:
        server = make_server(login_via_existing_session={"require_ui_auth": False})
        answer = await (await server.user("alice")).request("POST", self.PATH)
        assert answer["login_token"]


class TestLogout:
    async def test_one_session_ends(self, server: AccountServer) -> None:
        heard: list[SessionEvent] = []
        server.users.events.subscribe(heard.append)
        alice = await server.user("alice", device_id="PHONE")
        other = await server.user("alice", device_id="LAPTOP")
        assert await alice.request("POST", "/logout") == {}
        answer = await alice.ask("GET", "/account/whoami")
        assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")
        assert answer.json["soft_logout"] is False
        devices = (await other.request("GET", "/devices"))["devices"]
        assert [device["device_id"] for device in devices] == ["LAPTOP"]
        alice_id = user_id_of("alice")
        assert SessionEvent(alice_id, DeviceID("PHONE"), has_ended=True) in heard
        assert not any(event.concerns(alice_id, DeviceID("LAPTOP")) and event.has_ended for event in heard)
        assert server.logged(LogKind.DEVICE_LIST)[-1] == ("@alice:one.test", "PHONE")

    async def test_every_session_ends(self, server: AccountServer) -> None:
        heard: list[SessionEvent] = []
        server.users.events.subscribe(heard.append)
        clients = [await server.user("alice") for _ in range(3)]
        bob = await server.user("bob")
        await clients[0].request("POST", "/logout/all")
        for client in clients:
            assert (await client.ask("GET", "/account/whoami")).errcode == "M_UNKNOWN_TOKEN"
        assert (await bob.ask("GET", "/account/whoami")).status == 200
        assert SessionEvent(user_id_of("alice"), None, has_ended=True) in heard

    async def test_what_belongs_to_a_device_goes_with_it(self, make_server: MakeServer) -> None:
        gone: list[tuple[str, str]] = []
        server = make_server(
            UserParts(device_cleanups=[lambda txn, user, device: gone.append((user, device))])
        )
        alice = await server.user("alice", device_id="PHONE")
        await alice.request("POST", "/logout")
        assert gone == [("@alice:one.test", "PHONE")]

    async def test_without_a_token(self, server: AccountServer) -> None:
        for path in ("/logout", "/logout/all"):
            answer = await server.client().ask("POST", path)
            assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")


class TestAppserviceLogin:
    async def test_a_service_logs_its_user_in(self, make_server: MakeServer) -> None:
        server = make_server(UserParts(appservices=OneAppservice(Bridge())))
        client = server.client("bridge-token")
        await client.request(
            "POST",
            "/register",
            {"type": "m.login.application_service", "username": "_irc_bob", "inhibit_login": True},
        )
        body = {
            "type": "m.login.application_service",
            "identifier": {"type": "m.id.user", "user": "_irc_bob"},
        }
        answer = await client.request("POST", LOGIN, body)
        assert answer["user_id"] == "@_irc_bob:one.test"

    async def test_a_user_of_somebody_else(self, make_server: MakeServer) -> None:
        server = make_server(UserParts(appservices=OneAppservice(Bridge())))
        client = server.client("bridge-token")
        for user, status, errcode in (("alice", 400, "M_EXCLUSIVE"), ("_irc_nobody", 403, "M_FORBIDDEN")):
            body = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": user}}
            answer = await client.ask("POST", LOGIN, body)
            assert (answer.status, answer.errcode) == (status, errcode)
        answer = await client.ask("POST", LOGIN, {"type": "m.login.application_service"})
        assert (answer.status, answer.errcode) == (400, "M_MISSING_PARAM")
