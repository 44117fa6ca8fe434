"""Profiles, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.app.users import UserParts
from homeserver.errors import NotFound
from homeserver.ids import UserID
from homeserver.runtime.notifier import LogKind
from tests.unit.users.account_server import AccountServer, user_id_of
from tests.unit.users.conftest import MakeServer

ALICE, BOB = user_id_of("alice"), user_id_of("bob")
PROFILE = f"/profile/{ALICE}"


async def test_everybody_may_look(server: AccountServer) -> None:
    alice = await server.user("alice")
    await alice.request("PUT", f"{PROFILE}/avatar_url", {"avatar_url": "mxc://one.test/abc"})
    client = server.client()
    assert await client.request("GET", PROFILE) == {
        "avatar_url": "mxc://one.test/abc",
        "displayname": "alice",
    }
    assert await client.request("GET", f"{PROFILE}/displayname") == {"displayname": "alice"}
    for path in (f"/profile/{BOB}", f"/profile/{BOB}/displayname", f"{PROFILE}/m.tz"):
        answer = await client.ask("GET", path)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayname", "Alice 👩"),
        ("m.tz", "Europe/Rome"),
        ("org.example.job_title", ["Engineer", {"level": 3}]),
        ("org.example.nothing", None),
        ("us.cloke.msc4175.tz", "Europe/Rome"),
    ],
)
async def test_fields(server: AccountServer, field: str, value: Any) -> None:
    alice = await server.user("alice")
    for path in (PROFILE, f"/_matrix/client/unstable/uk.tcpip.msc4133{PROFILE}"):
        assert await alice.request("PUT", f"{path}/{field}", {field: value}) == {}
        assert await alice.request("GET", f"{path}/{field}") == {field: value}
        assert (await alice.request("GET", path))[field] == value
        assert await alice.request("DELETE", f"{path}/{field}") == {}
        assert await alice.request("DELETE", f"{path}/{field}") == {}
        assert field not in await alice.request("GET", path)


async def test_changes_are_told_once(server: AccountServer) -> None:
    told: list[tuple[UserID, str, Any]] = []

    async def listen(user_id: UserID, field: str, value: Any) -> None:
        told.append((user_id, field, value))

    alice = await server.user("alice")
    server.users.profiles.subscribe(listen)
    server.log.clear()
    for _ in range(2):
        await alice.request("PUT", f"{PROFILE}/displayname", {"displayname": "Alice"})
    await alice.request("PUT", f"{PROFILE}/displayname", {"displayname": ""})
    await alice.request("DELETE", f"{PROFILE}/displayname")
    assert told == [(ALICE, "displayname", "Alice"), (ALICE, "displayname", None)]
    assert [(entry.ref, entry.payload) for entry in server.log if entry.kind == LogKind.PROFILE] == [
        ("displayname", "Alice"),
        ("displayname", None),
    ]


@pytest.mark.parametrize(
    ("field", "body", "errcode"),
    [
        ("displayname", {"displayname": 7}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
        ("displayname", {"name": "x"}, "M_MISSING_PARAM"),
        ("displayname", {}, "M_MISSING_PARAM"),
        ("avatar_url", {"avatar_url": "https://example.org/a.png"}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": {}}, "M_INVALID_PARAM"),
        ("m.tz", {"m.tz": 1}, "M_INVALID_PARAM"),
        ("nonsense", {"nonsense": 1}, "M_INVALID_PARAM"),
        ("Org.Example", {"Org.Example": 1}, "M_INVALID_PARAM"),
        ("a." + "b" * 254, {"a." + "b" * 254: 1}, "M_KEY_TOO_LARGE"),
    ],
)
async def test_refusals(server: AccountServer, field: str, body: dict[str, Any], errcode: str) -> None:
    alice = await server.user("alice")
    answer = await alice.ask("PUT", f"{PROFILE}/{field}", body)
    assert (answer.status, answer.errcode) == (400, errcode)
    assert await alice.request("GET", PROFILE) == {"displayname": "alice"}


async def test_a_profile_has_a_limit(server: AccountServer) -> None:
    alice = await server.user("alice")
    await alice.request("PUT", f"{PROFILE}/a.b", {"a.b": "x" * 40_000})
    answer = await alice.ask("PUT", f"{PROFILE}/a.c", {"a.c": "x" * 40_000})
    assert (answer.status, answer.errcode) == (400, "M_PROFILE_TOO_LARGE")
    await alice.request("PUT", f"{PROFILE}/a.b", {"a.b": "x" * 60_000})
    answer = await alice.ask("PUT", f"{PROFILE}/a.b", {"a.b": "x" * 66_000})
    assert (answer.status, answer.errcode) == (400, "M_PROFILE_TOO_LARGE")


async def test_only_ones_own(server: AccountServer) -> None:
    bob = await server.user("bob")
    for method, body in (("PUT", {"displayname": "x"}), ("DELETE", None)):
        answer = await bob.ask(method, f"{PROFILE}/displayname", body)
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        answer = await server.client().ask(method, f"{PROFILE}/displayname", body)
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")
    answer = await bob.ask("DELETE", f"/profile/{BOB}/nonsense")
    assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")
    answer = await bob.ask("GET", "/profile/nonsense")
    assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")


async def test_fields_may_be_the_servers(make_server: MakeServer) -> None:
    server = make_server(enable_set_displayname=False)
    alice = await server.user("alice")
    answer = await alice.ask("PUT", f"{PROFILE}/displayname", {"displayname": "x"})
    assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
    capabilities = (await alice.request("GET", "/capabilities"))["capabilities"]
    assert capabilities["m.profile_fields"] == {"enabled": True, "disallowed": ["displayname"]}
    assert capabilities["m.set_displayname"] == {"enabled": False}
    assert capabilities["m.set_avatar_url"] == {"enabled": True}


async def test_profiles_may_be_for_users_only(make_server: MakeServer) -> None:
    server = make_server(require_auth_for_profile_requests=True)
    await server.session_of("alice")
    answer = await server.client().ask("GET", PROFILE)
    assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")
    assert (await (await server.user("bob")).ask("GET", PROFILE)).status == 200


async def test_profiles_may_be_for_acquaintances_only(make_server: MakeServer) -> None:
    server = make_server(limit_profile_requests_to_users_who_share_rooms=True)
    alice, bob = await server.user("alice"), await server.user("bob")
    answer = await bob.ask("GET", f"{PROFILE}/displayname")
    assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
    assert (await alice.ask("GET", PROFILE)).status == 200


class Elsewhere:
    """The profiles of another server."""

    profiles: dict[str, dict[str, Any]] = {"@carol:two.test": {"displayname": "Carol", "m.tz": "Asia/Tokyo"}}

    async def query_profile(self, user_id: UserID, field: str | None) -> dict[str, Any]:
        profile = self.profiles.get(user_id)
        if profile is None:
            raise NotFound(f"no profile of {user_id}")
        return profile if field is None else {key: profile[key] for key in profile if key == field}


async def test_profiles_of_other_servers(make_server: MakeServer) -> None:
    server = make_server(UserParts(remote_profiles=Elsewhere()))
    client = server.client()
    assert await client.request("GET", "/profile/@carol:two.test") == Elsewhere.profiles["@carol:two.test"]
    assert await client.request("GET", "/profile/@carol:two.test/m.tz") == {"m.tz": "Asia/Tokyo"}
    for path in ("/profile/@carol:two.test/avatar_url", "/profile/@dave:two.test"):
        answer = await client.ask("GET", path)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")


async def test_without_federation_other_servers_have_no_profiles(server: AccountServer) -> None:
    answer = await server.client().ask("GET", "/profile/@carol:two.test")
    assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
