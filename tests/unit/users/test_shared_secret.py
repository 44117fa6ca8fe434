"""Registration by shared secret, over HTTP."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from tests.unit.users.account_server import AccountServer, password_auth, user_id_of
from tests.unit.users.conftest import MakeServer

PATH = "/_synapse/admin/v1/register"
SECRET = "open sesame"


@pytest.fixture
def server(make_server: MakeServer) -> AccountServer:
    return make_server(enable_registration=False, registration_shared_secret=SECRET)


def mac(*parts: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), b"\0".join(part.encode() for part in parts), hashlib.sha1).hexdigest()


async def nonce(server: AccountServer) -> str:
    return str((await server.client().request("GET", PATH))["nonce"])


async def body(server: AccountServer, **more: Any) -> dict[str, Any]:
    fresh = await nonce(server)
    return {
        "nonce": fresh,
        "username": "alice",
        "password": "secret",
        "mac": mac(fresh, "alice", "secret", "notadmin"),
        **more,
    }


async def test_an_account_is_made(server: AccountServer) -> None:
    answer = await server.client().request("POST", PATH, await body(server, displayname="Alice A."))
    assert answer["user_id"] == "@alice:one.test"
    assert answer["home_server"] == "one.test"
    alice = server.client(answer["access_token"])
    assert await alice.request("GET", "/profile/@alice:one.test") == {"displayname": "Alice A."}
    assert (await alice.request("GET", "/account/whoami"))["device_id"] == answer["device_id"]
    login = password_auth("alice", password="secret")
    assert (await server.client().ask("POST", "/login", login)).status == 200
    account = await server.users.accounts.load(user_id_of("alice"))
    assert not account.is_admin


async def test_an_administrator_of_some_type(server: AccountServer) -> None:
    fresh = await nonce(server)
    request = {
        "nonce": fresh,
        "username": "root",
        "password": "pässword",
        "admin": True,
        "user_type": "support",
        "mac": mac(fresh, "root", "pässword", "admin", "support"),
        "inhibit_login": True,
    }
    answer = await server.client().request("POST", PATH, request)
    assert answer == {"user_id": "@root:one.test", "home_server": "one.test"}
    account = await server.users.accounts.load(user_id_of("root"))
    assert (account.is_admin, account.user_type) == (True, "support")


async def test_a_wrong_mac(server: AccountServer) -> None:
    for wrong in ("", "nonsense", mac("x", secret="other")):
        answer = await server.client().ask("POST", PATH, await body(server, mac=wrong))
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
    for changed in ({"admin": True}, {"username": "mallory"}, {"password": "other"}, {"user_type": "bot"}):
        answer = await server.client().ask("POST", PATH, await body(server, **changed))
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
    assert await server.users.accounts.find(user_id_of("alice")) is None


async def test_a_nonce_is_used_once_and_soon(server: AccountServer) -> None:
    request = await body(server)
    await server.client().request("POST", PATH, request)
    answer = await server.client().ask("POST", PATH, request)
    assert (answer.status, answer.errcode) == (400, "M_UNKNOWN")
    late = await body(server)
    await server.clock.sleep(61)
    answer = await server.client().ask("POST", PATH, late)
    assert (answer.status, answer.errcode) == (400, "M_UNKNOWN")


async def test_a_name_that_is_taken_or_none(server: AccountServer) -> None:
    await server.session_of("alice")
    answer = await server.client().ask("POST", PATH, await body(server))
    assert (answer.status, answer.errcode) == (400, "M_USER_IN_USE")
    fresh = await nonce(server)
    request = {"nonce": fresh, "username": "a b", "password": "p", "mac": mac(fresh, "a b", "p", "notadmin")}
    answer = await server.client().ask("POST", PATH, request)
    assert (answer.status, answer.errcode) == (400, "M_INVALID_USERNAME")


async def test_malformed(server: AccountServer) -> None:
    answer = await server.client().ask("POST", PATH, {})
    assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")
    for field in ("username", "password"):
        answer = await server.client().ask("POST", PATH, await body(server, **{field: "a\0b"}))
        assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")


async def test_without_a_secret_it_is_switched_off(make_server: MakeServer) -> None:
    server = make_server()
    for method in ("GET", "POST"):
        request = {"nonce": "n", "username": "a", "password": "b", "mac": "c"}
        answer = await server.client().ask(method, PATH, request)
        assert (answer.status, answer.errcode) == (400, "M_UNKNOWN")
