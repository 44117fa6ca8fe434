"""Two people on two servers."""

from __future__ import annotations

import pytest

from tests.features.federation.conftest import MakeServer
from tests.harness.network import LATENCY_S, Network
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

VERSIONS = ["1", "6", "10", "11", "12"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_is_invited_joins_and_talks(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea", version=version)
    await bob.sees(room, membership="invite", state={"m.room.name": {"name": "Tea"}})
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})
    await alice.says(room, "hello")
    await bob.sees(room, "hello", member={alice: "join"})
    await bob.says(room, "hello yourself")
    await alice.sees(room, "hello", "hello yourself")
    await alice.sets(room, "m.room.topic", {"topic": "cakes"})
    await bob.sees(room, state={"m.room.topic": {"topic": "cakes"}})


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_comes_by_an_alias_is_let_in(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(public=True, room_alias_name="tea", version=version)
    assert await bob.joins("#tea:one.test") == room
    await alice.sees(room, member={bob: "join"})
    said = await bob.says(room, "a secret")
    await alice.sees(room, "a secret")
    await bob.redacts(room, said)
    await alice.waits_until(
        lambda client: any(one["type"] == "m.room.redaction" for one in client.rooms[room].timeline),
        "the redaction",
    )
    assert (await alice.event(room, said))["content"] == {}
    said = await alice.says(room, "in haste")
    await bob.sees(room, event=said)
    await alice.redacts(room, said)
    await bob.waits_until(
        lambda client: client.rooms[room].timeline[-1]["type"] == "m.room.redaction", "the redaction"
    )
    assert (await bob.event(room, said))["content"] == {}


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_is_kicked_is_out_and_may_return(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(public=True, version=version)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    await alice.kicks(room, bob)
    await bob.sees(room, membership="leave")
    await alice.says(room, "not for bob")
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "still here?")
    await bob.joins(room, via=["one.test"])
    await alice.says(room, "welcome back")
    await bob.sees(room, "welcome back", membership="join")
    await bob.says(room, "thanks")
    await alice.sees(room, "welcome back", "thanks")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_banned_stay_out(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(public=True, version=version)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    await alice.bans(room, bob)
    await bob.sees(room, membership="leave")
    with refused("M_FORBIDDEN", 403):
        await bob.joins(room, via=["one.test"])
    await alice.unbans(room, bob)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})


async def test_who_leaves_is_seen_to_leave(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})
    await bob.leaves(room)
    await alice.sees(room, member={bob: "leave"})
    await bob.sees(room, membership="leave")


async def test_an_invitation_is_declined(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    await bob.leaves(room)
    await alice.sees(room, member={bob: "leave"})
    await bob.sees(room, membership="leave")


async def test_an_invitation_is_declined_though_its_server_is_gone(
    one: Server, alice: User, bob: User, network: Network
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    network.cut("one.test", "two.test")
    await bob.leaves(room)
    await bob.sees(room, membership="leave")


@pytest.mark.parametrize("version", ["7", "10", "12"])
async def test_who_knocks_is_let_in(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(
        version=version,
        name="Tea",
        initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}],
    )
    await bob.knocks(room, via=["one.test"])
    await bob.sees(room, membership="knock", state={"m.room.name": {"name": "Tea"}})
    await alice.sees(room, member={bob: "knock"})
    await alice.invites(room, bob)
    await bob.sees(room, membership="invite")
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_invitation_is_taken_back(alice: User, bob: User, version: str) -> None:
    room = await alice.creates_room(inviting=bob, version=version)
    await bob.sees(room, membership="invite")
    await alice.kicks(room, bob)
    await bob.sees(room, membership="leave")
    await alice.invites(room, bob)
    await bob.sees(room, membership="invite")
    await alice.bans(room, bob)
    await bob.sees(room, membership="leave")


async def test_a_knock_is_refused(alice: User, bob: User) -> None:
    room = await alice.creates_room(
        initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    )
    await bob.knocks(room, via=["one.test"])
    await alice.sees(room, member={bob: "knock"})
    await alice.kicks(room, bob)
    await bob.sees(room, membership="leave")


async def test_a_kick_that_comes_late_does_not_end_a_new_invitation(
    one: Server, alice: User, bob: User, network: Network
) -> None:
    room = await alice.creates_room(inviting=bob)
    network.fault = lambda _, request: -1 if "/send/" in request.uri else LATENCY_S
    await alice.kicks(room, bob)
    await alice.invites(room, bob)
    await bob.sees(room, membership="invite")
    network.fault = None
    await one.passes(600)
    kicks = [request for origin, request in network.requests if "/send/" in request.uri]
    assert len(kicks) > 1, "the kick never came"
    await bob.syncs()
    assert bob.room(room).membership == "invite"


async def test_a_knock_is_taken_back(alice: User, bob: User) -> None:
    room = await alice.creates_room(
        initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    )
    await bob.knocks(room, via=["one.test"])
    await alice.sees(room, member={bob: "knock"})
    await bob.leaves(room)
    await alice.sees(room, member={bob: "leave"})


@pytest.mark.parametrize("version", ["8", "10", "11", "12"])
async def test_members_of_one_room_may_join_another(alice: User, bob: User, version: str) -> None:
    hall = await alice.creates_room(public=True, version=version)
    allow = [{"type": "m.room_membership", "room_id": hall}]
    chamber = await alice.creates_room(
        version=version,
        initial_state=[
            {
                "type": "m.room.join_rules",
                "state_key": "",
                "content": {"join_rule": "restricted", "allow": allow},
            }
        ],
    )
    with refused("M_FORBIDDEN", 403):
        await bob.joins(chamber, via=["one.test"])
    await bob.joins(hall, via=["one.test"])
    await alice.sees(hall, member={bob: "join"})
    await bob.joins(chamber, via=["one.test"])
    await alice.sees(chamber, member={bob: "join"})
    await bob.says(chamber, "cosy")
    await alice.sees(chamber, "cosy")


async def test_typing_receipts_and_presence_are_passed_on(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    await bob.joins(room)
    said = await alice.says(room, "hello")
    await bob.sees(room, "hello")
    await bob.types_in(room)
    await alice.sees(room, typing=[bob])
    await bob.stops_typing_in(room)
    await alice.sees(room, typing=[])
    await bob.reads(room, said)
    await alice.sees(room, read={bob: said})
    await bob.request(
        "PUT", f"/presence/{bob.user_id}/status", {"presence": "unavailable", "status_msg": "tea"}
    )
    await alice.waits_until(
        lambda client: client.presence.get(bob.user_id, {}).get("status_msg") == "tea", "bob's presence"
    )


async def test_who_goes_on_typing_is_still_seen_to_type(one: Server, alice: User, bob: User) -> None:
    """The other server forgets it after a minute, unless it is told again."""
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await alice.types_in(room, timeout_ms=120_000)
    await bob.sees(room, typing=[alice])
    await one.passes(110)
    await bob.syncs()
    assert bob.room(room).typing == [alice.user_id]
    await bob.sees(room, typing=[], within_ms=30_000)


async def test_servers_that_are_not_wanted_are_kept_out(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    await alice.sets(room, "m.room.server_acl", {"allow": ["*"], "deny": ["two.test"]})
    await bob.sees(room, state={"m.room.server_acl": {"allow": ["*"], "deny": ["two.test"]}})
    await bob.says(room, "hello?")
    await alice.says(room, "quiet")
    await alice.sees(room, "quiet")
    assert alice.room(room).bodies() == ["quiet"]


async def test_a_busy_server_waits_and_is_not_refused(make_peer: MakeServer, alice: User) -> None:
    """A refusal would have some servers keep away for minutes; a moment's wait does no harm."""
    two = make_peer("two.test", enable_rate_limits=True)
    for number in range(260):
        with refused("M_NOT_FOUND", 404):
            await alice.request("GET", f"/profile/@nobody{number}:two.test")
    await two.passes(1)
    served = [line for line in "".join(two.access_lines).splitlines() if "/query/profile" in line]
    assert len(served) == 260
    assert not [line for line in served if " 429 " in line]
