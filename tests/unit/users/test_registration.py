"""Making accounts, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.runtime.notifier import LogKind
from storage import registration_tokens, users
from storage.registration_tokens import RegistrationToken
from tests.harness.client import Client
from tests.unit.users.account_server import PASSWORD, AccountServer, user_id_of
from tests.unit.users.conftest import MakeServer

REGISTER = "/register"


async def register(client: Client, *stages: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Register by passing the stages one after the other."""
    answer = await client.ask("POST", REGISTER, body)
    for stage in stages:
        assert answer.status == 401, answer.body
        auth = {**stage, "session": answer.json["session"]}
        answer = await client.ask("POST", REGISTER, {**body, "auth": auth})
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.json
    return result


DUMMY = {"type": "m.login.dummy"}


async def test_a_user_registers_and_is_logged_in(server: AccountServer) -> None:
    client = server.client()
    answer = await register(
        client,
        DUMMY,
        username="alice",
        password=PASSWORD,
        device_id="PHONE",
        initial_device_display_name="Phone",
    )
    assert answer["user_id"] == "@alice:one.test"
    assert answer["home_server"] == "one.test"
    assert answer["device_id"] == "PHONE"
    client.access_token = answer["access_token"]
    whoami = await client.request("GET", "/account/whoami")
    assert whoami == {"user_id": "@alice:one.test", "device_id": "PHONE", "is_guest": False}
    devices = await client.request("GET", "/devices")
    assert [device["display_name"] for device in devices["devices"]] == ["Phone"]
    assert await client.request("GET", "/profile/@alice:one.test") == {"displayname": "alice"}


async def test_what_registration_writes_to_the_log(server: AccountServer) -> None:
    await register(server.client(), DUMMY, username="alice", password=PASSWORD, device_id="PHONE")
    assert server.logged(LogKind.PROFILE) == [("@alice:one.test", "displayname")]
    assert server.logged(LogKind.DEVICE_LIST) == [("@alice:one.test", "PHONE")]


async def test_the_first_answer_tells_what_is_to_be_done(server: AccountServer) -> None:
    answer = await server.client().ask("POST", REGISTER, {"username": "alice", "password": PASSWORD})
    assert answer.status == 401
    assert answer.json["flows"] == [{"stages": ["m.login.dummy"]}]
    assert answer.json["session"]
    assert "errcode" not in answer.json


async def test_a_stage_without_a_session_begins_one(server: AccountServer) -> None:
    body = {"username": "alice", "password": PASSWORD, "auth": DUMMY}
    assert (await server.client().ask("POST", REGISTER, body)).status == 200


async def test_nobody_gets_a_name_twice(server: AccountServer) -> None:
    await register(server.client(), DUMMY, username="alice", password=PASSWORD)
    answer = await server.client().ask("POST", REGISTER, {"username": "Alice", "password": PASSWORD})
    assert (answer.status, answer.errcode) == (400, "M_USER_IN_USE")


async def test_a_name_that_is_taken_meanwhile_does_not_cost_the_session(server: AccountServer) -> None:
    client = server.client()
    answer = await client.ask("POST", REGISTER, {"username": "alice", "password": PASSWORD})
    await server.session_of("alice")
    body = {"username": "bob", "password": PASSWORD, "auth": {**DUMMY, "session": answer.json["session"]}}
    assert (await client.ask("POST", REGISTER, {**body, "username": "alice"})).errcode == "M_USER_IN_USE"
    assert (await client.request("POST", REGISTER, body))["user_id"] == "@bob:one.test"
    again = await client.ask("POST", REGISTER, {**body, "username": "carol"})
    assert (again.status, again.errcode) == (400, "M_INVALID_PARAM"), "the session is spent"


@pytest.mark.parametrize("name", ["", "al ice", "älice", "alice:one", "@alice", "a" * 260, "a\u0000b"])
async def test_names_outside_of_the_grammar(server: AccountServer, name: str) -> None:
    answer = await server.client().ask("POST", REGISTER, {"username": name, "password": PASSWORD})
    assert (answer.status, answer.errcode) == (400, "M_INVALID_USERNAME")
    available = await server.client().ask("GET", "/register/available", query={"username": name})
    assert (available.status, available.errcode) == (400, "M_INVALID_USERNAME")


async def test_who_wishes_for_no_name_gets_one(server: AccountServer) -> None:
    answer = await register(server.client(), DUMMY, password=PASSWORD)
    assert answer["user_id"].endswith(":one.test")


async def test_inhibited_login(server: AccountServer) -> None:
    answer = await register(server.client(), DUMMY, username="alice", password=PASSWORD, inhibit_login=True)
    assert answer == {"user_id": "@alice:one.test", "home_server": "one.test"}
    assert server.logged(LogKind.DEVICE_LIST) == []


async def test_without_a_password_nobody_registers(server: AccountServer) -> None:
    answer = await server.client().ask("POST", REGISTER, {"username": "alice", "auth": DUMMY})
    assert (answer.status, answer.errcode) == (400, "M_MISSING_PARAM")
    assert await server.users.accounts.find(user_id_of("alice")) is None


async def test_weak_passwords(make_server: MakeServer) -> None:
    policy = {"enabled": True, "minimum_length": 8, "require_digit": True, "require_symbol": True}
    server = make_server(password_config={"policy": policy})
    for password in ("", "short1!", "longenough!", "longenough1", "x" * 600):
        body = {"username": "alice", "password": password, "auth": DUMMY}
        answer = await server.client().ask("POST", REGISTER, body)
        assert answer.status == 400
        assert answer.errcode == ("M_INVALID_PARAM" if len(password) == 600 else "M_WEAK_PASSWORD"), password
    body = {"username": "alice", "password": "longenough1!", "auth": DUMMY}
    assert (await server.client().ask("POST", REGISTER, body)).status == 200


async def test_refresh_tokens_on_request(server: AccountServer) -> None:
    answer = await register(server.client(), DUMMY, username="alice", password=PASSWORD, refresh_token=True)
    assert answer["refresh_token"]
    assert answer["expires_in_ms"] == 300_000


async def test_closed_registration(make_server: MakeServer) -> None:
    server = make_server(enable_registration=False)
    client = server.client()
    for method, path, query in (
        ("POST", REGISTER, None),
        ("GET", "/register/available", {"username": "alice"}),
        ("GET", "/_matrix/client/v1/register/m.login.registration_token/validity", {"token": "t"}),
    ):
        answer = await client.ask(method, path, query=query)
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")


async def test_availability(server: AccountServer) -> None:
    await server.session_of("alice")
    client = server.client()
    assert await client.request("GET", "/register/available", query={"username": "bob"}) == {
        "available": True
    }
    answer = await client.ask("GET", "/register/available", query={"username": "alice"})
    assert (answer.status, answer.errcode) == (400, "M_USER_IN_USE")
    answer = await client.ask("GET", "/register/available")
    assert (answer.status, answer.errcode) == (400, "M_MISSING_PARAM")


async def test_taken_names_can_be_hidden_until_the_end(make_server: MakeServer) -> None:
    server = make_server(inhibit_user_in_use_error=True)
    await server.session_of("alice")
    client = server.client()
    assert await client.request("GET", "/register/available", query={"username": "alice"}) == {
        "available": True
    }
    body = {"username": "alice", "password": PASSWORD}
    assert (await client.ask("POST", REGISTER, body)).status == 401
    assert (await client.ask("POST", REGISTER, {**body, "auth": DUMMY})).errcode == "M_USER_IN_USE"


class TestRegistrationTokens:
    async def add(self, server: AccountServer, **limits: Any) -> None:
        await server.db.run(registration_tokens.add, RegistrationToken("key", **limits))

    async def found(self, server: AccountServer) -> RegistrationToken:
        token = await server.db.read(registration_tokens.find, "key")
        assert token is not None
        return token

    def server(self, make_server: MakeServer) -> AccountServer:
        return make_server(registration_requires_token=True)

    async def test_a_token_lets_in_as_often_as_it_says(self, make_server: MakeServer) -> None:
        server = self.server(make_server)
        await self.add(server, uses_allowed=1)
        stage = {"type": "m.login.registration_token", "token": "key"}
        await register(server.client(), stage, username="alice", password=PASSWORD)
        token = await self.found(server)
        assert (token.pending, token.completed) == (0, 1)
        answer = await server.client().ask(
            "POST", REGISTER, {"username": "bob", "password": PASSWORD, "auth": stage}
        )
        assert (answer.status, answer.errcode) == (401, "M_UNAUTHORIZED")
        assert answer.json["session"]

    async def test_a_registration_that_is_given_up_frees_its_token(self, make_server: MakeServer) -> None:
        server = self.server(make_server)
        await self.add(server, uses_allowed=1)
        client = server.client()
        stage = {"type": "m.login.registration_token", "token": "key"}
        answer = await client.ask("POST", REGISTER, {"username": "alice", "auth": stage})
        assert answer.errcode == "M_MISSING_PARAM", "the password is missing, and the token is held"
        assert (await self.found(server)).pending == 1
        await server.clock.sleep(25 * 3600)
        await client.ask("POST", REGISTER, {"username": "bob"})
        assert (await self.found(server)).pending == 0

    async def test_unknown_malformed_and_missing_tokens(self, make_server: MakeServer) -> None:
        server = self.server(make_server)
        for token, errcode in (("lock", "M_UNAUTHORIZED"), ("a\u0000", "M_UNAUTHORIZED"), (7, "M_BAD_JSON")):
            stage = {"type": "m.login.registration_token", "token": token}
            answer = await server.client().ask("POST", REGISTER, {"username": "alice", "auth": stage})
            assert (answer.status, answer.errcode) == (401, errcode)
        stage = {"type": "m.login.registration_token"}
        answer = await server.client().ask("POST", REGISTER, {"username": "alice", "auth": stage})
        assert (answer.status, answer.errcode) == (401, "M_MISSING_PARAM")

    async def test_validity(self, make_server: MakeServer) -> None:
        server = self.server(make_server)
        await self.add(server, expires_ms=server.clock.now_ms() + 1000)
        path = "/_matrix/client/v1/register/m.login.registration_token/validity"
        client = server.client()
        assert await client.request("GET", path, query={"token": "key"}) == {"valid": True}
        assert await client.request("GET", path, query={"token": "lock"}) == {"valid": False}
        await server.clock.sleep(2)
        assert await client.request("GET", path, query={"token": "key"}) == {"valid": False}
        assert (await client.ask("GET", path)).errcode == "M_MISSING_PARAM"


async def test_terms_must_be_accepted_first(make_server: MakeServer) -> None:
    terms = {"enabled": True, "version": "3", "url": "https://one.test/terms"}
    server = make_server(user_consent=terms)
    answer = await server.client().ask("POST", REGISTER, {"username": "alice", "password": PASSWORD})
    policies = answer.json["params"]["m.login.terms"]["policies"]
    assert policies["terms_of_service"]["version"] == "3"
    assert policies["terms_of_service"]["en"]["url"] == "https://one.test/terms"
    skipped = await server.client().ask("POST", REGISTER, {"username": "alice", "auth": DUMMY})
    assert skipped.status == 401
    await register(server.client(), {"type": "m.login.terms"}, username="alice", password=PASSWORD)
    account = await server.db.read(users.find, "@alice:one.test")
    assert account is not None
    assert account.consent_version == '{"terms_of_service":"3"}'


class TestGuests:
    async def test_guests_are_refused_by_default(self, server: AccountServer) -> None:
        answer = await server.client().ask("POST", REGISTER, query={"kind": "guest"})
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")

    async def test_a_guest_may_look_but_not_touch(self, make_server: MakeServer) -> None:
        server = make_server(allow_guest_access=True)
        client = server.client()
        body = {"username": "alice", "device_id": "MINE", "initial_device_display_name": "Kiosk"}
        answer = await client.request("POST", REGISTER, body, query={"kind": "guest"})
        assert answer["user_id"] != "@alice:one.test"
        assert answer["device_id"] != "MINE"
        client.access_token = answer["access_token"]
        assert (await client.request("GET", "/account/whoami"))["is_guest"] is True
        user_id = answer["user_id"]
        await client.request("PUT", f"/profile/{user_id}/displayname", {"displayname": "Visitor"})
        refused = await client.ask("PUT", f"/profile/{user_id}/m.tz", {"m.tz": "Europe/Rome"})
        assert (refused.status, refused.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")
        refused = await client.ask("PUT", f"/user/{user_id}/account_data/a.b", {})
        assert (refused.status, refused.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")

    async def test_a_guest_becomes_a_user(self, make_server: MakeServer) -> None:
        server = make_server(allow_guest_access=True)
        client = server.client()
        guest = await client.request("POST", REGISTER, query={"kind": "guest"})
        name = guest["user_id"][1:].partition(":")[0]
        wish = {"username": name, "password": PASSWORD, "guest_access_token": guest["access_token"]}
        wrong = await client.ask("POST", REGISTER, {**wish, "username": "alice"})
        assert (wrong.status, wrong.errcode) == (403, "M_FORBIDDEN")
        answer = await register(client, DUMMY, **wish)
        assert answer["user_id"] == guest["user_id"]
        client.access_token = guest["access_token"]
        assert (await client.request("GET", "/account/whoami"))["is_guest"] is False

    async def test_no_other_kinds(self, server: AccountServer) -> None:
        answer = await server.client().ask("POST", REGISTER, query={"kind": "robot"})
        assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")


async def test_registration_is_limited_by_address(make_server: MakeServer) -> None:
    server = make_server(enable_rate_limits=True, rc_registration={"per_second": 0.1, "burst_count": 2})
    statuses = [(await server.client().ask("POST", REGISTER)).status for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert (await server.client(address="10.0.0.2").ask("POST", REGISTER)).status == 401
