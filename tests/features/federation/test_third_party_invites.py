"""People who were invited by their address, and turn out to be on another server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.features.federation.conftest import MakeServer
from tests.fixtures.reactor import VirtualReactor
from tests.harness.identity import NAME, TOKEN, IdentityServer
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.unit.http.outside import Outside

BOB = {"id_server": NAME, "id_access_token": TOKEN, "medium": "email", "address": "bob@example.org"}
ONBIND = "/_matrix/federation/v1/3pid/onbind"


@pytest.fixture
def identity() -> IdentityServer:
    return IdentityServer()


@pytest.fixture
def one(make_peer: MakeServer, identity: IdentityServer, reactor: VirtualReactor, tmp_path: Path) -> Server:
    """A server that reaches an identity server."""
    server = make_peer(
        "one.test",
        trusted_identity_servers=[NAME],
        federation_custom_ca_list=[str(tmp_path / "ca.pem")],
    )
    identity.listens(server, Outside(reactor), tmp_path)
    reactor.drive(server.restarts())
    return server


async def invited_by_address(alice: User, version: str = "12") -> str:
    room = await alice.creates_room(version=version, name="Tea")
    await alice.request("POST", f"/rooms/{room}/invite", BOB)
    return room


def binding(identity: IdentityServer, room: str, bob: User, alice: User, **changes: Any) -> dict[str, Any]:
    signed = identity.signs("invitation1", bob.user_id, alice.user_id)
    whose = {"medium": "email", "address": "bob@example.org", "mxid": bob.user_id}
    invite = {**whose, "room_id": room, "sender": alice.user_id, "signed": signed, **changes}
    return {**whose, "invites": [invite]}


@pytest.mark.parametrize("version", ["6", "12"])
async def test_whoever_binds_the_address_elsewhere_is_invited_there(
    identity: IdentityServer, two: Server, alice: User, bob: User, version: str
) -> None:
    room = await invited_by_address(alice, version)
    await two.client().request("PUT", ONBIND, binding(identity, room, bob, alice))
    await bob.sees(room, membership="invite", state={"m.room.name": {"name": "Tea"}})
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})
    await bob.says(room, "thank you")
    await alice.sees(room, "thank you")


async def test_a_proof_may_come_with_the_join(identity: IdentityServer, alice: User, bob: User) -> None:
    room = await invited_by_address(alice)
    signed = identity.signs("invitation1", bob.user_id, alice.user_id)
    await bob.joins(room, via=["one.test"], third_party_signed=signed)
    await alice.sees(room, member={bob: "join"})


async def test_a_binding_that_proves_nothing_invites_nobody(
    identity: IdentityServer, two: Server, alice: User, bob: User
) -> None:
    room = await invited_by_address(alice)
    carol = await two.user("carol")
    signed = identity.signs("invitation1", bob.user_id, alice.user_id)
    for person, changes in (
        (bob, {"signed": {**signed, "token": "invitation2"}}),
        (bob, {"signed": {**signed, "signatures": {NAME: {"ed25519:0": "A" * 86}}}}),
        (bob, {"room_id": "!nowhere:one.test"}),
        (bob, {"sender": "@nobody:nowhere.test", "signed": {**signed, "sender": "@nobody:nowhere.test"}}),
        (carol, {"signed": signed}),
    ):
        await two.client().request("PUT", ONBIND, binding(identity, room, person, alice, **changes))
    await two.passes(2)
    assert set(await alice.members(room)) == {alice.user_id}
    for stranger in ("@nobody:two.test", "@bob:one.test"):
        with refused("M_NOT_FOUND", 404):
            body = {**binding(identity, room, bob, alice), "mxid": stranger}
            await two.client().request("PUT", ONBIND, body)
    with refused("M_BAD_JSON", 400):
        await two.client().request("PUT", ONBIND, {"mxid": bob.user_id})


async def test_a_banned_user_is_not_let_back_in_by_an_address(
    identity: IdentityServer, two: Server, alice: User, bob: User
) -> None:
    room = await invited_by_address(alice)
    await alice.bans(room, bob)
    await two.client().request("PUT", ONBIND, binding(identity, room, bob, alice))
    assert (await alice.members(room, membership="ban")) == {bob.user_id: "ban"}
    signed = identity.signs("invitation1", bob.user_id, alice.user_id)
    with refused("M_UNKNOWN", 502):
        await bob.joins(room, via=["one.test"], third_party_signed=signed)
