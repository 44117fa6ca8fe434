"""Sessions that end while somebody waits, and what outlives a restart."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.conformance.validator import Answer
from tests.harness.client import Client
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def polls(user: User) -> Deferred[Answer]:
    """Begin to wait for news that will not come by itself."""
    await user.syncs()
    query = {"since": user.client.since, "timeout": 30_000}
    return Deferred.fromCoroutine(user.ask("GET", "/sync", query=query))


async def ended(server: Server, poll: Deferred[Answer]) -> Answer:
    """The answer of a poll that must not have waited for its timeout."""
    before = server.clock.seconds()
    answer = await poll
    assert server.clock.seconds() - before < 5, "the poll waited"
    return answer


@pytest.mark.parametrize(
    "way", ["logs out", "is deleted", "is logged out everywhere", "has its password changed"]
)
async def test_a_session_that_ends_ends_its_poll(server: Server, alice: User, way: str) -> None:
    phone = await server.logs_in(alice)
    poll = await polls(phone)
    match way:
        case "logs out":
            await phone.logs_out()
        case "is deleted":
            await alice.confirms("DELETE", f"/devices/{phone.device_id}")
        case "is logged out everywhere":
            await alice.request("POST", "/logout/all")
        case "has its password changed":
            await alice.confirms("POST", "/account/password", {"new_password": "another one"})
    answer = await ended(server, poll)
    assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert answer.json["soft_logout"] is False


async def test_a_lock_ends_polls_but_no_session(server: Server, alice: User) -> None:
    accounts = server.homeserver.services.users.accounts
    poll = await polls(alice)
    await accounts.set_locked(alice.user_id, locked=True)
    answer = await ended(server, poll)
    assert (answer.status, answer.errcode, answer.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    with refused("M_USER_LOCKED", 401):
        await alice.syncs()
    await accounts.set_locked(alice.user_id, locked=False)
    await alice.syncs()


async def test_the_polls_of_others_go_on(server: Server, alice: User, bob: User) -> None:
    phone = await server.logs_in(alice)
    polling = [await polls(alice), await polls(bob)]
    await phone.logs_out()
    for poll in polling:
        assert (await poll).status == 200


async def test_sessions_outlive_a_restart(server: Server, alice: User) -> None:
    answer = await server.client().request(
        "POST",
        "/login",
        {"type": "m.login.password", "user": "alice", "password": alice.password, "refresh_token": True},
    )
    challenge = await alice.ask("DELETE", "/devices/GONE", {})
    await server.restarts()
    assert (await alice.request("GET", "/account/whoami"))["device_id"] == alice.device_id
    renewed = await server.client().request("POST", "/refresh", {"refresh_token": answer["refresh_token"]})
    client = server.client(renewed["access_token"])
    assert (await client.request("GET", "/account/whoami"))["device_id"] == answer["device_id"]
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": alice.password,
        "session": challenge.json["session"],
    }
    assert await alice.request("DELETE", "/devices/GONE", {"auth": auth}) == {}


async def test_last_seen_is_written_before_the_end(server: Server, alice: User) -> None:
    await alice.request("GET", "/account/whoami")
    await server.restarts()
    connections = "SELECT ip FROM connections"
    database = server.homeserver.surroundings.database
    assert await database.read(lambda txn: txn.all(connections)) == [("10.0.0.1",)]


async def test_old_paths_are_served_too(server: Server, alice: User) -> None:
    for path in ("/_matrix/client/r0/account/whoami", "/_matrix/client/v3/account/whoami"):
        assert (await alice.request("GET", path))["user_id"] == alice.user_id


async def test_an_administrator_by_shared_secret(server: Server) -> None:
    admin = await server.admin()
    capabilities = (await admin.request("GET", "/capabilities"))["capabilities"]
    assert capabilities["m.account_moderation"] == {"lock": True, "suspend": True}


async def test_a_guest_looks_in(make_server: ServerFactory) -> None:
    server = make_server(allow_guest_access=True)
    guest = await server.guest()
    assert (await guest.request("GET", "/account/whoami"))["is_guest"] is True
    await guest.syncs()
    with refused("M_GUEST_ACCESS_FORBIDDEN", 403):
        await guest.keeps("org.example.colour", {})


async def test_two_cannot_have_one_name_at_once(server: Server) -> None:
    async def registers(client: Client) -> int:
        body: dict[str, Any] = {"username": "dora", "password": "pw", "auth": {"type": "m.login.dummy"}}
        return (await client.ask("POST", "/register", body)).status

    racing = [Deferred.fromCoroutine(registers(server.client())) for _ in range(4)]
    assert sorted([await one for one in racing]) == [200, 400, 400, 400]
