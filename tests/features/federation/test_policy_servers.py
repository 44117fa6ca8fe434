"""Rooms that have named a policy server: it sees every event before the room does."""

from __future__ import annotations

import base64

import pytest

from tests.features.federation.conftest import MakeServer
from tests.harness.network import Network
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

SEED = base64.b64encode(bytes(range(32))).decode().rstrip("=")
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"


@pytest.fixture
def warden(make_peer: MakeServer) -> Server:
    rules = {"signing_key": SEED, "denied_words": ["spam"], "denied_senders": ["*:rogue.test"]}
    return make_peer("warden.test", policy_server=rules)


async def guarded_room(warden: Server, alice: User, version: str = "12") -> str:
    """A room of alice's that the warden watches."""
    guard = await warden.user("guard")
    room = await alice.creates_room(public=True, version=version)
    await guard.joins(room, via=["one.test"])
    await alice.sees(room, member={guard: "join"})
    key = await warden.client().request("GET", "/.well-known/matrix/policy_server")
    assert key == {"public_keys": {"ed25519": PUBLIC}}
    await alice.sets(room, "m.room.policy", {"via": "warden.test", "public_keys": {"ed25519": PUBLIC}})
    await warden.passes(1)
    return room


@pytest.mark.parametrize("version", ["6", "12"])
async def test_what_it_signs_is_sent_and_what_it_refuses_is_not(
    warden: Server, alice: User, bob: User, version: str
) -> None:
    room = await guarded_room(warden, alice, version)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    await alice.says(room, "hello")
    await bob.sees(room, "hello")
    with refused("M_FORBIDDEN", 403):
        await alice.says(room, "buy spam")
    await bob.sets_profile("displayname", "Bob")
    await bob.says(room, "hello yourself")
    await alice.sees(room, "hello", "hello yourself")
    assert "buy spam" not in [
        event["content"].get("body") for event in (await alice.messages(room, limit=50))["chunk"]
    ]


async def test_the_warden_s_own_users_pass_it_too(warden: Server, alice: User) -> None:
    room = await guarded_room(warden, alice)
    guard = await warden.logs_in("guard")
    await guard.says(room, "all quiet")
    await alice.sees(room, "all quiet")
    with refused("M_FORBIDDEN", 403):
        await guard.says(room, "SPAM!")


async def test_nothing_is_sent_while_it_does_not_answer(
    warden: Server, alice: User, network: Network
) -> None:
    room = await guarded_room(warden, alice)
    network.cut("one.test", "warden.test")
    with refused("M_UNKNOWN", 502):
        await alice.says(room, "hello?")
    network.heal()
    await alice.says(room, "there you are")
    assert "hello?" not in str(await alice.messages(room, limit=50))


async def test_what_comes_unsigned_is_kept_out_of_sight(
    warden: Server, alice: User, bob: User, make_peer: MakeServer
) -> None:
    room = await guarded_room(warden, alice)
    await bob.joins(room, via=["one.test"])
    await bob.sees(room, membership="join")
    rogue = make_peer("rogue.test")
    mallory = await rogue.user("mallory")
    # Whom the warden refuses is a member by the rules of the room, but no other server shows what they do.
    with refused("M_FORBIDDEN", 403):
        await mallory.joins(room, via=["one.test"])


async def test_many_at_once_are_signed_one_after_the_other(warden: Server, alice: User) -> None:
    room = await guarded_room(warden, alice)
    for number in range(5):
        await alice.says(room, f"number {number}")
    again = await alice.request(
        "PUT", f"/rooms/{room}/send/m.room.message/once", {"msgtype": "m.text", "body": "once"}
    )
    assert again == await alice.request(
        "PUT", f"/rooms/{room}/send/m.room.message/once", {"msgtype": "m.text", "body": "once"}
    )
