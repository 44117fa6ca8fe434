"""No secret is in the database in clear, nor in any log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from storage.transaction import Transaction
from tests.conftest import Logged
from tests.features.accounts.browser import Browser
from tests.harness.bridge import Bridge
from tests.harness.configuration import PASSWORD, SHARED_SECRET
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server

MIGRATIONS = Path(__file__).parents[3] / "storage" / "migrations"
NEW_PASSWORD = "another that nobody guesses"
TURN_SECRET = "the secret of the TURN server"


def tables() -> list[str]:
    text = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
    return re.findall(r"CREATE TABLE (\w+)", text)


def shown(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


async def everything_stored(server: Server) -> str:
    database = server.homeserver.surroundings.database
    found = []
    for table in tables():
        for row in await database.read(Transaction.all, f"SELECT * FROM {table}"):
            found.append(f"{table}: " + " | ".join(shown(value) for value in row))
    return "\n".join(found)


def tokens_in(answer: Any) -> Iterator[str]:
    """Every value of an answer that opens something."""
    for key, value in answer.items():
        if key in ("access_token", "refresh_token", "login_token"):
            yield value


async def test_no_secret_is_stored_or_logged(
    make_server: ServerFactory, tmp_path: Path, logged: Logged
) -> None:
    bridge = Bridge()
    server = make_server(
        app_service_config_files=[bridge.registers(tmp_path, url=None)],
        turn_uris=["turn:one.test"],
        turn_shared_secret=TURN_SECRET,
        bcrypt_rounds=4,
    )
    client = server.client()
    secrets: set[str] = {PASSWORD, NEW_PASSWORD, SHARED_SECRET, TURN_SECRET, bridge.as_token, bridge.hs_token}
    alice = await server.user("alice")
    admin = await server.admin()
    secrets |= {alice.access_token or "", admin.access_token or ""}

    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "refresh_token": True,
    }
    session = await client.request("POST", "/login", login)
    secrets |= set(tokens_in(session))
    refreshed = await client.request("POST", "/refresh", {"refresh_token": session["refresh_token"]})
    secrets |= set(tokens_in(refreshed))
    # As old clients send them, and where they do not belong.
    token = alice.access_token
    for path in (f"/sync?access_token={token}&timeout=0", f"/no/such/path?access_token={token}"):
        await client.ask("GET", path)
    await client.ask("GET", "/account/whoami", headers={"Authorization": f"Bearer {token}x"})
    for wrong in (NEW_PASSWORD, f"{NEW_PASSWORD}x"):
        await client.ask("POST", "/login", {**login, "password": wrong})
    secrets |= set(tokens_in(await alice.confirms("POST", "/_matrix/client/v1/login/get_token")))
    openid = await alice.request("POST", f"/user/{alice.user_id}/openid/request_token")
    secrets |= set(tokens_in(openid))
    await client.ask(
        "GET", "/_matrix/federation/v1/openid/userinfo", query={"access_token": openid["access_token"]}
    )
    await alice.request("GET", "/voip/turnServer")
    await server.client(bridge.as_token).ask("GET", "/account/whoami")

    answer = await client.ask("GET", "/login/sso/redirect", query={"redirectUrl": "https://app.example.com/"})
    browser = await Browser(server).opens(answer.headers["location"])
    await browser.logs_in("alice", PASSWORD)
    await browser.submits()
    secrets |= {parse_qs(urlsplit(browser.left_for or "").query)["loginToken"][0], *browser.cookies.values()}
    await alice.confirms("POST", "/account/password", {"new_password": NEW_PASSWORD, "logout_devices": False})

    assert all(len(secret) > 9 for secret in secrets)
    await server.passes(5)
    stored = await everything_stored(server)
    assert "@alice:one.test" in stored
    logs = "".join(server.access_lines) + str(logged.entries)
    assert "/sync" in logs
    assert [secret for secret in secrets if secret in stored] == []
    assert [secret for secret in secrets if secret in logs] == []
