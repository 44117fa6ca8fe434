"""Nobody whose account is locked or deactivated gets in, by whatever door; nor does a token outlive the account.

The doors of OAuth and of upstream providers are tried in `tests/features/accounts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from tests.conformance.validator import Answer
from tests.features.accounts.browser import Browser
from tests.harness.bridge import Bridge
from tests.harness.client import Client
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server
from tests.harness.user import User

SECRET = "a secret of at least thirty-two bytes"
NAME = "_irc_alice"
Attempt = Callable[[], Awaitable[Answer]]
Door = Callable[[Server, Client, User], Awaitable[Attempt]]


def logs_in(client: Client, **body: Any) -> Attempt:
    return lambda: client.ask("POST", "/login", body)


async def by_password(server: Server, client: Client, alice: User) -> Attempt:
    identifier = {"type": "m.id.user", "user": NAME}
    return logs_in(client, type="m.login.password", identifier=identifier, password=alice.password)


async def by_login_token(server: Server, client: Client, alice: User) -> Attempt:
    answer = await alice.confirms("POST", "/_matrix/client/v1/login/get_token")
    return logs_in(client, type="m.login.token", token=answer["login_token"])


async def by_jwt(server: Server, client: Client, alice: User) -> Attempt:
    return logs_in(client, type="org.matrix.login.jwt", token=jwt.encode({"sub": NAME}, SECRET))


async def by_bridge(server: Server, client: Client, alice: User) -> Attempt:
    identifier = {"type": "m.id.user", "user": NAME}
    return logs_in(
        server.client(Bridge().as_token), type="m.login.application_service", identifier=identifier
    )


async def by_masquerade(server: Server, client: Client, alice: User) -> Attempt:
    bridge = server.client(Bridge().as_token)
    return lambda: bridge.ask("GET", "/joined_rooms", query={"user_id": alice.user_id})


async def by_refresh(server: Server, client: Client, alice: User) -> Attempt:
    identifier = {"type": "m.id.user", "user": NAME}
    body = {
        "type": "m.login.password",
        "identifier": identifier,
        "password": alice.password,
        "refresh_token": True,
    }
    session = await client.request("POST", "/login", body)
    token = {"refresh_token": session["refresh_token"]}

    async def attempt() -> Answer:
        # A locked user may have their tokens refreshed, as long as they open nothing.
        answer = await client.ask("POST", "/refresh", token)
        if answer.status == 200:
            return await server.client(answer.json["access_token"]).ask("GET", "/account/whoami")
        return answer

    return attempt


async def by_access_token(server: Server, client: Client, alice: User) -> Attempt:
    return lambda: alice.ask("GET", "/joined_rooms")


async def by_query_token(server: Server, client: Client, alice: User) -> Attempt:
    return lambda: client.ask("GET", "/joined_rooms", query={"access_token": alice.access_token})


async def by_single_sign_on(server: Server, client: Client, alice: User) -> Attempt:
    answer = await client.ask("GET", "/login/sso/redirect", query={"redirectUrl": "https://app.example.com/"})
    browser = await Browser(server).opens(answer.headers["location"])
    await browser.logs_in(NAME, alice.password)
    await browser.submits()
    token = parse_qs(urlsplit(browser.left_for or "").query)["loginToken"][0]
    return logs_in(client, type="m.login.token", token=token)


async def by_openid(server: Server, client: Client, alice: User) -> Attempt:
    path = f"/user/{alice.user_id}/openid/request_token"
    token = (await alice.request("POST", path))["access_token"]
    userinfo = "/_matrix/federation/v1/openid/userinfo"
    return lambda: client.ask("GET", userinfo, query={"access_token": token})


DOORS = [
    by_password,
    by_login_token,
    by_jwt,
    by_bridge,
    by_masquerade,
    by_refresh,
    by_access_token,
    by_query_token,
    by_single_sign_on,
    by_openid,
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fate", ["locked", "deactivated"])
async def test_no_door_is_open(make_server: ServerFactory, tmp_path: Path, door: Door, fate: str) -> None:
    bridge = Bridge()
    namespaces = {"users": [{"exclusive": False, "regex": "@_irc_.*"}], "aliases": [], "rooms": []}
    server = make_server(
        jwt_config={"enabled": True, "secret": SECRET},
        app_service_config_files=[bridge.registers(tmp_path, namespaces=namespaces, url=None)],
    )
    alice = await server.user(NAME)
    attempt = await door(server, server.client(), alice)
    users = server.homeserver.services.users
    if fate == "locked":
        await users.accounts.set_locked(alice.user_id, locked=True)
    else:
        await users.deactivation.deactivate(alice.user_id, erase=False)
    answer = await attempt()
    is_harmless = fate == "locked" and door is by_openid
    assert is_harmless or answer.status in (401, 403), answer.body
    if fate == "locked" and not is_harmless:
        assert answer.errcode == "M_USER_LOCKED"


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_is_open_to_others(make_server: ServerFactory, tmp_path: Path, door: Door) -> None:
    bridge = Bridge()
    namespaces = {"users": [{"exclusive": False, "regex": "@_irc_.*"}], "aliases": [], "rooms": []}
    server = make_server(
        jwt_config={"enabled": True, "secret": SECRET},
        app_service_config_files=[bridge.registers(tmp_path, namespaces=namespaces, url=None)],
    )
    alice = await server.user(NAME)
    attempt = await door(server, server.client(), alice)
    assert (await attempt()).status == 200
