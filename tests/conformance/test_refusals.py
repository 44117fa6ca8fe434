"""Refusals that the specification declares and that no story leads to: each is asked for by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.outbound.transport import RemoteRequest
from homeserver.app.federation import Outside
from homeserver.app.unreachable import Unreachable
from homeserver.http.gate.reading import Answer
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.bridge import Bridge
from tests.harness.client import segment
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

SEALED = {"first_message_index": 0, "forwarded_count": 0, "is_verified": False, "session_data": {}}

# What bob, who is in a room of his own, is refused.
REFUSALS: list[tuple[str, str, dict[str, Any] | None, str, int]] = [
    ("GET", "/rooms/{theirs}/members", None, "M_FORBIDDEN", 403),
    ("GET", "/rooms/{theirs}/state", None, "M_FORBIDDEN", 403),
    ("GET", "/rooms/{theirs}/state/m.room.name", None, "M_FORBIDDEN", 403),
    ("GET", "/rooms/{theirs}/joined_members", None, "M_FORBIDDEN", 403),
    ("GET", "/rooms/{theirs}/initialSync", None, "M_FORBIDDEN", 403),
    ("GET", "/rooms/{theirs}/aliases", None, "M_FORBIDDEN", 403),
    ("GET", "/_matrix/client/v1/rooms/{theirs}/threads", None, "M_FORBIDDEN", 403),
    ("GET", "/_matrix/client/v1/rooms/{theirs}/hierarchy", None, "M_FORBIDDEN", 403),
    ("GET", "/_matrix/client/v1/rooms/{own}/threads?from=nonsense", None, "M_INVALID_PARAM", 400),
    ("GET", "/_matrix/client/v1/rooms/{own}/hierarchy?from=nonsense", None, "M_INVALID_PARAM", 400),
    ("GET", "/_matrix/client/v1/rooms/{own}/relations/$nothing", None, "M_NOT_FOUND", 404),
    ("GET", "/_matrix/client/v1/rooms/{own}/relations/$nothing/m.thread", None, "M_NOT_FOUND", 404),
    ("GET", "/_matrix/client/v1/rooms/{own}/relations/$nothing/m.thread/m.sticker", None, "M_NOT_FOUND", 404),
    ("GET", "/rooms/{own}/context/$nothing", None, "M_NOT_FOUND", 404),
    ("GET", "/rooms/{own}/event/$nothing", None, "M_NOT_FOUND", 404),
    ("GET", "/events/$nothing", None, "M_NOT_FOUND", 404),
    ("GET", "/events?room_id={own}&from=nonsense", None, "M_INVALID_PARAM", 400),
    ("GET", "/events?from=nonsense", None, "M_INVALID_PARAM", 400),
    ("GET", "/rooms/nonsense/aliases", None, "M_INVALID_PARAM", 400),
    ("GET", "/directory/room/nonsense", None, "M_INVALID_PARAM", 400),
    ("GET", "/directory/list/room/!nothing:one.test", None, "M_NOT_FOUND", 404),
    ("PUT", "/directory/list/room/!nothing:one.test", {"visibility": "public"}, "M_NOT_FOUND", 404),
    ("POST", "/knock/%23nothing:one.test", {}, "M_NOT_FOUND", 404),
    ("GET", "/presence/{alice}/status", None, "M_FORBIDDEN", 403),
    ("POST", "/rooms/{theirs}/join", {}, "M_FORBIDDEN", 403),
    ("POST", "/rooms/{own}/receipt/m.nonsense/$nothing", {}, "M_INVALID_PARAM", 400),
    ("PUT", "/pushrules/global/override/x?before=y", {"actions": []}, "M_NOT_FOUND", 404),
    ("GET", "/thirdparty/location?alias=%23a:one.test", None, "M_NOT_FOUND", 404),
    ("GET", "/thirdparty/user?userid=@a:one.test", None, "M_NOT_FOUND", 404),
    ("GET", "/thirdparty/location/irc", None, "M_NOT_FOUND", 404),
    ("GET", "/thirdparty/user/irc", None, "M_NOT_FOUND", 404),
    *(
        (method, f"/room_keys/keys{where}?version=999", body, "M_NOT_FOUND", 404)
        for where, body in (
            ("", {"rooms": {}}),
            ("/!r:one.test", {"sessions": {}}),
            ("/!r:one.test/s", SEALED),
        )
        for method in ("GET", "PUT", "DELETE")
    ),
    ("POST", "/rooms/{own}/report/$nothing", {}, "M_NOT_FOUND", 404),
    ("POST", "/rooms/!nothing:one.test/report", {"reason": ""}, "M_NOT_FOUND", 404),
    ("POST", "/users/@nobody:one.test/report", {"reason": ""}, "M_NOT_FOUND", 404),
]


async def test_what_is_refused_by_name(server: Server, alice: User, bob: User) -> None:
    names = {"theirs": segment(await alice.creates_room()), "own": segment(await bob.creates_room())}
    names["alice"] = alice.user_id
    wrong = []
    for method, path, body, errcode, status in REFUSALS:
        answer = await bob.ask(method, path.format(**names), body)
        if (answer.status, answer.errcode) != (status, errcode):
            wrong.append(f"{method} {path}: {answer.status} {answer.body!r}")
    assert not wrong, "\n".join(wrong)


async def test_a_request_that_is_too_long_for_any_endpoint(server: Server) -> None:
    client = server.client()
    for path in ("/_matrix/client/versions", "/login", "/_matrix/client/v1/auth_metadata"):
        answer = await client.ask("GET", path, headers={"X-Long": "x" * 100_000})
        assert answer.status == 431


async def test_an_invitation_by_address_counts_as_one(make_server: ServerFactory) -> None:
    tight = {"per_second": 0.001, "burst_count": 1}
    server = make_server(enable_rate_limits=True, rc_invites={"per_issuer": tight})
    alice = await server.user("alice")
    room = await alice.creates_room()
    whom = {"id_server": "id.test", "id_access_token": "x", "medium": "email", "address": "bob@example.org"}
    with refused("M_UNKNOWN", 502):
        await alice.request("POST", f"/rooms/{room}/invite", whom)
    with refused("M_LIMIT_EXCEEDED", 429):
        await alice.request("POST", f"/rooms/{room}/invite", whom)


async def test_a_server_without_oauth(make_server: ServerFactory) -> None:
    client = make_server(oauth={"enabled": False}).client()
    with refused("M_UNRECOGNIZED", 404):
        await client.request("GET", "/_matrix/client/v1/auth_metadata")


async def test_a_server_with_nothing_but_oauth(make_server: ServerFactory, tmp_path: Path) -> None:
    bridge = Bridge()
    files = [bridge.registers(tmp_path, url=None)]
    server = make_server(oauth={"allow_legacy_login": False}, app_service_config_files=files)
    for method, path, body in (
        ("GET", "/login", None),
        ("POST", "/login", {"type": "m.login.password", "identifier": {}, "password": "x"}),
        ("POST", "/register", {"username": "alice", "password": "x"}),
    ):
        with refused("M_UNRECOGNIZED", 404):
            await server.client().request(method, path, body)
    # Bridges make accounts all the same, and act as their users without logging in.
    client = server.client(bridge.as_token)
    made = {"type": "m.login.application_service", "username": "_irc_nick"}
    login = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": "_irc_nick"}}
    for path, body in (("/register", made), ("/login", login)):
        with refused("M_APPSERVICE_LOGIN_UNSUPPORTED", 400):
            await client.request("POST", path, body)
    answer = await client.request("POST", "/register", {**made, "inhibit_login": True})
    assert answer["user_id"] == "@_irc_nick:one.test"


class OldServer:
    """Every other server: it knows no room version of today."""

    async def request(self, request: RemoteRequest) -> Answer:
        body = b'{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"what is that?","room_version":"12"}'
        return Answer(400, {"content-type": "application/json"}, body)


async def test_an_invitation_to_a_server_that_does_not_know_the_version(
    reactor: VirtualReactor, engine: Engine
) -> None:
    server = Server(reactor, engine)
    server.outside = Outside(OldServer(), Unreachable())
    await server.starts()
    alice = await server.user("alice")
    room = await alice.creates_room()
    with refused("M_UNSUPPORTED_ROOM_VERSION", 400):
        await alice.invites(room, "@bob:old.test")
    assert "@bob:old.test" not in await alice.members(room)
    await server.stops()


async def test_who_blocks_invitations_gets_none_of_any_kind(server: Server, alice: User, bob: User) -> None:
    await bob.keeps("m.invite_permission_config", {"default_action": "block"})
    room = segment(await alice.creates_room())
    for method, path, body in (
        ("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id}),
        ("PUT", f"/rooms/{room}/state/m.room.member/{bob.user_id}", {"membership": "invite"}),
        ("POST", "/createRoom", {"invite": [bob.user_id]}),
    ):
        with refused("M_INVITE_BLOCKED", 403):
            await alice.request(method, path, body)


async def test_a_server_without_presence(make_server: ServerFactory) -> None:
    alice = await make_server(presence={"enabled": False}).user("alice")
    await alice.request("PUT", f"/presence/{alice.user_id}/status", {"presence": "online"})
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"/presence/{alice.user_id}/status")


@pytest.mark.parametrize("path", ["/login", "/account/whoami", "/sync"])
async def test_a_path_has_only_its_methods(server: Server, path: str) -> None:
    with refused("M_UNRECOGNIZED", 405):
        await server.client().request("DELETE", path)
