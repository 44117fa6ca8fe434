"""Identity servers: addresses that are proved to them, and invitations to those whom only they may know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.http.responses import Response
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.identity import NAME, TOKEN, IdentityServer
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.unit.http.outside import Outside

SECRET = "monkeys_are_GREAT"
PROVED = {"medium": "email", "address": "alice@example.org", "validated_at": 1_700_000_000_000}
BOB = {"id_server": NAME, "id_access_token": TOKEN, "medium": "email", "address": "Bob@example.org"}
CREDENTIALS = {"client_secret": SECRET, "id_server": NAME, "id_access_token": TOKEN, "sid": "1"}


@pytest.fixture
def identity() -> IdentityServer:
    return IdentityServer()


@pytest.fixture
def outside(reactor: VirtualReactor) -> Outside:
    outside = Outside(reactor)
    outside.names["inside.test"] = ["10.0.0.1"]
    return outside


@pytest.fixture
def server(
    reactor: VirtualReactor,
    engine: Engine,
    identity: IdentityServer,
    outside: Outside,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    server = Server(
        reactor,
        engine,
        seed=request.node.name,
        trusted_identity_servers=[NAME],
        federation_custom_ca_list=[str(tmp_path / "ca.pem")],
    )
    identity.listens(server, outside, tmp_path)
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())


async def test_who_is_known_by_their_address_is_invited_as_a_user(
    identity: IdentityServer, alice: User, bob: User
) -> None:
    identity.owners["bob@example.org email"] = bob.user_id
    room = await alice.creates_room()
    await alice.request("POST", f"/rooms/{room}/invite", {**BOB, "reason": "tea"})
    assert (await alice.state(room, "m.room.member", bob.user_id))["membership"] == "invite"
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await alice.request("POST", f"/rooms/{room}/invite", BOB)
    await bob.leaves(room)
    await bob.keeps("m.invite_permission_config", {"default_action": "block"})
    with refused("M_INVITE_BLOCKED", 403):
        await alice.request("POST", f"/rooms/{room}/invite", BOB)


async def test_who_is_not_known_yet_proves_later_that_they_are_meant(
    identity: IdentityServer, alice: User, bob: User, carol: User
) -> None:
    room = await alice.creates_room(name="Tea")
    await alice.request("POST", f"/rooms/{room}/invite", BOB)
    (invitation,) = identity.invitations
    assert (invitation["address"], invitation["room_name"]) == ("bob@example.org", "Tea")
    shown = await alice.state(room, "m.room.third_party_invite", "invitation1")
    assert shown["public_key"] == identity.key.public_base64
    signed = identity.signs("invitation1", bob.user_id, alice.user_id)
    for person, proof in (
        (carol, signed),
        (bob, {**signed, "token": "invitation2"}),
        (bob, {**signed, "signatures": {}}),
        (carol, {**signed, "mxid": carol.user_id}),
    ):
        with refused("M_FORBIDDEN", 403):
            await person.joins(room, third_party_signed=proof)
    await bob.joins(room, third_party_signed=signed)
    assert bob.user_id in await alice.members(room)


async def test_a_room_may_begin_with_people_of_whom_only_the_address_is_known(
    identity: IdentityServer, alice: User, bob: User
) -> None:
    identity.owners["bob@example.org email"] = bob.user_id
    other = {**BOB, "address": "carol@example.org"}
    room = await alice.creates_room(invite_3pid=[BOB, other])
    assert (await alice.state(room, "m.room.member", bob.user_id))["membership"] == "invite"
    assert (await alice.state(room, "m.room.third_party_invite", "invitation1"))[
        "display_name"
    ] == "b...@e..."


async def test_who_may_not_invite_tells_no_identity_server_of_the_room(
    identity: IdentityServer, alice: User, bob: User, carol: User
) -> None:
    room = await alice.creates_room(inviting=bob, power_level_content_override={"invite": 50})
    await bob.joins(room)
    for person in (bob, carol):
        with refused("M_FORBIDDEN", 403):
            await person.request("POST", f"/rooms/{room}/invite", BOB)
    assert identity.asked == []


@pytest.mark.parametrize(
    ("changes", "status", "errcode"),
    [
        ({"id_server": None}, 400, "M_MISSING_PARAM"),
        ({"id_access_token": None}, 400, "M_MISSING_PARAM"),
        ({"address": None}, 400, "M_MISSING_PARAM"),
        ({"medium": "pigeon"}, 400, "M_INVALID_PARAM"),
        ({"id_server": "a b"}, 400, "M_INVALID_PARAM"),
        ({"id_server": f"{NAME}/x?y="}, 400, "M_INVALID_PARAM"),
        # Nobody is led inside, by whatever name.
        ({"id_server": "inside.test"}, 502, "M_UNKNOWN"),
        ({"id_server": "127.0.0.1"}, 502, "M_UNKNOWN"),
        ({"id_server": "10.0.0.1:8008"}, 502, "M_UNKNOWN"),
        ({"id_server": "[::ffff:127.0.0.1]"}, 502, "M_UNKNOWN"),
        ({"id_server": "[64:ff9b::a00:1]"}, 502, "M_UNKNOWN"),
        ({"id_server": "nowhere.test"}, 502, "M_UNKNOWN"),
    ],
)
async def test_addresses_that_lead_nowhere(
    alice: User, outside: Outside, changes: dict[str, Any], status: int, errcode: str
) -> None:
    room = await alice.creates_room()
    body = {key: value for key, value in {**BOB, **changes}.items() if value is not None}
    before = len(await alice.whole_state(room))
    with refused(errcode, status):
        await alice.request("POST", f"/rooms/{room}/invite", body)
    bound = {**CREDENTIALS, "id_server": body.get("id_server", "127.0.0.1")}
    answer = await alice.ask("POST", "/account/3pid/bind", bound)
    assert answer.status in (400, 404, 502)
    reached = {address for address, _ in outside.connected}
    assert reached <= {"203.1.113.9"}
    assert len(await alice.whole_state(room)) == before


async def test_an_identity_server_that_fails_or_lies_changes_nothing(
    identity: IdentityServer, alice: User
) -> None:
    room = await alice.creates_room()
    before = len(await alice.whole_state(room))
    for said in (
        Response(500, {}),
        Response(302, {}, {"Location": "http://127.0.0.1/"}),
        Response(200, {"lookup_pepper": 5, "algorithms": None}),
        Response(200, {"lookup_pepper": "x", "algorithms": ["sha256"], "mappings": [], "token": "a/b"}),
        Response(200, b"[" * 100_000, {"Content-Type": "application/json"}),
        Response(200, b"x" * 5_000_000, {"Content-Type": "application/json"}),
    ):
        identity.fails_with = said
        with refused("M_UNKNOWN", 502):
            await alice.request("POST", f"/rooms/{room}/invite", BOB)
    assert len(await alice.whole_state(room)) == before


async def test_an_address_that_is_proved_elsewhere_is_added_and_published(
    identity: IdentityServer, alice: User, bob: User
) -> None:
    identity.validated["1"] = PROVED
    await alice.request("POST", "/account/3pid", {"three_pid_creds": CREDENTIALS})
    (threepid,) = (await alice.request("GET", "/account/3pid"))["threepids"]
    assert (threepid["address"], threepid["validated_at"]) == (PROVED["address"], PROVED["validated_at"])
    with refused("M_THREEPID_IN_USE"):
        await bob.request("POST", "/account/3pid", {"three_pid_creds": CREDENTIALS})
    with refused("M_THREEPID_AUTH_FAILED", 403):
        await bob.request("POST", "/account/3pid", {"three_pid_creds": {**CREDENTIALS, "sid": "2"}})
    with refused("M_SERVER_NOT_TRUSTED"):
        await bob.request(
            "POST", "/account/3pid", {"three_pid_creds": {**CREDENTIALS, "id_server": "other.test"}}
        )

    await alice.request("POST", "/account/3pid/bind", CREDENTIALS)
    assert identity.owners == {"alice@example.org email": alice.user_id}
    address = {"medium": "email", "address": "ALICE@example.org"}
    answer = await alice.request("POST", "/account/3pid/unbind", address)
    assert answer == {"id_server_unbind_result": "success"}
    assert identity.owners == {}


async def test_a_deactivated_account_is_taken_from_identity_servers(
    identity: IdentityServer, alice: User
) -> None:
    identity.validated["1"] = PROVED
    await alice.request("POST", "/account/3pid/bind", CREDENTIALS)
    answer = await alice.confirms("POST", "/account/deactivate", {"erase": False})
    assert answer == {"id_server_unbind_result": "success"}
    assert identity.owners == {}
