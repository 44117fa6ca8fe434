"""Entering a room of another server when things do not go smoothly, and when its member list comes later."""

from __future__ import annotations

from typing import Any

import pytest

from federation.outbound.transport import RemoteRequest
from homeserver.ids import ServerName
from tests.features.federation.conftest import MakeServer
from tests.harness.network import LATENCY_S, Network
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

MEMBERS = [f"member{number}" for number in range(6)]


class LostAnswers:
    """Loses the answers to one kind of request, while `active`."""

    def __init__(self, network: Network, what: str) -> None:
        self._what = what
        self._seen: set[int] = set()
        self.active = True
        network.fault = self

    def __call__(self, _origin: ServerName, request: RemoteRequest) -> float:
        if not self.active or self._what not in request.uri:
            return LATENCY_S
        if id(request) in self._seen:
            return -1.0
        self._seen.add(id(request))
        return LATENCY_S


def members_known(server: Server, room: str) -> set[str]:
    live = server.homeserver.services.rooms.rooms.find(room)
    assert live is not None
    return set(live.joined)


async def test_a_join_whose_answer_is_lost_is_taken_back(alice: User, bob: User, network: Network) -> None:
    room = await alice.creates_room(public=True)
    lost = LostAnswers(network, "send_join")
    with refused("M_UNKNOWN", 502):
        await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    lost.active = False
    await alice.sees(room, member={bob: "leave"}, within_ms=60_000)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})


async def test_it_is_taken_back_after_a_restart_too(
    one: Server, two: Server, alice: User, bob: User, network: Network
) -> None:
    room = await alice.creates_room(public=True)
    lost = LostAnswers(network, "send_join")
    with refused("M_UNKNOWN", 502):
        await bob.joins(room, via=["one.test"])
    await two.restarts()
    lost.active = False
    await alice.sees(room, member={bob: "leave"}, within_ms=60_000)


async def test_the_invited_are_inside_though_the_answer_was_lost(
    alice: User, bob: User, network: Network
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    lost = LostAnswers(network, "send_join")
    with refused("M_UNKNOWN", 502):
        await bob.joins(room)
    lost.active = False
    await bob.sees(room, membership="join", within_ms=60_000)
    await bob.says(room, "here at last")
    await alice.sees(room, "here at last", member={bob: "join"})


async def test_the_banned_learn_of_it_though_they_missed_what_led_there(
    one: Server, alice: User, bob: User, network: Network
) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await bob.sees(room, membership="join")
    network.cut("one.test", "two.test")
    for number in range(60):
        await alice.says(room, f"alice {number}")
    await alice.bans(room, bob)
    await alice.says(room, "not for bob")
    await one.passes(60)
    network.heal()
    await one.passes(600)
    await bob.sees(room, membership="leave", within_ms=60_000)
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "hello?")


@pytest.fixture
def host(make_peer: MakeServer) -> Server:
    """A server that leaves out the members of every room that somebody joins."""
    return make_peer("host.test", omit_members_from=1)


async def crowded_room(host: Server, **options: Any) -> tuple[User, str]:
    owner = await host.user("owner")
    room = await owner.creates_room(public=True, **options)
    for name in MEMBERS:
        member = await host.user(name)
        await member.joins(room)
    return owner, room


@pytest.mark.parametrize("version", ["6", "12"])
async def test_a_join_does_not_wait_for_the_members(
    host: Server, two: Server, bob: User, network: Network, version: str
) -> None:
    owner, room = await crowded_room(host, version=version)
    lost = LostAnswers(network, "state_ids")
    await bob.syncs()
    await bob.joins(room, via=["host.test"])
    await bob.says(room, "hello")
    await owner.sees(room, "hello")
    await owner.says(room, "welcome")
    await bob.sees(room, "welcome")
    everybody = {owner.user_id, bob.user_id, *(host.user_id(name) for name in MEMBERS)}
    assert members_known(two, room) < everybody
    # Those who speak before they are known are heard all the same.
    stranger = await host.logs_in(host.user_id(MEMBERS[3]))
    await stranger.says(room, "so am I")
    await bob.sees(room, "so am I")
    lost.active = False
    with refused("M_UNKNOWN", 503):
        # The question that was lost is still waited for.
        await bob.members(room)
    await two.passes(200)
    assert set(await bob.members(room)) == everybody
    assert members_known(two, room) == everybody
    await bob.sees(room, member=dict.fromkeys([host.user_id(name) for name in MEMBERS], "join"))
    await stranger.says(room, "still here")
    await bob.sees(room, "welcome", "so am I", "still here")


async def test_the_members_come_after_a_restart(
    host: Server, two: Server, bob: User, network: Network
) -> None:
    _, room = await crowded_room(host)
    lost = LostAnswers(network, "state_ids")
    await bob.joins(room, via=["host.test"])
    await two.restarts()
    lost.active = False
    assert len(await bob.members(room)) == len(MEMBERS) + 2
    newcomer = await two.logs_in(bob)
    await newcomer.sees(room, member=dict.fromkeys([host.user_id(name) for name in MEMBERS], "join"))


async def test_members_are_known_before_one_is_removed(
    host: Server, two: Server, bob: User, network: Network
) -> None:
    owner, room = await crowded_room(
        host, version="11", power_level_content_override={"users": {"@owner:host.test": 100, bob.user_id: 50}}
    )
    await bob.joins(room, via=["host.test"])
    await bob.kicks(room, host.user_id(MEMBERS[0]))
    await owner.sees(room, member={host.user_id(MEMBERS[0]): "leave"})


async def test_a_server_that_has_half_a_room_lets_nobody_in(
    host: Server, two: Server, bob: User, network: Network, make_peer: MakeServer
) -> None:
    _, room = await crowded_room(host)
    LostAnswers(network, "state_ids")
    await bob.joins(room, via=["host.test"])
    three = make_peer("three.test")
    carol = await three.user("carol")
    with refused("M_UNABLE_DUE_TO_PARTIAL_STATE", 404):
        await carol.joins(room, via=["two.test"])
    await carol.joins(room, via=["two.test", "host.test"])
