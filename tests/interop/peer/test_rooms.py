"""Rooms that Hearth and Synapse share, made by either."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.refusals import refused
from tests.interop.peer.people import Person

VERSIONS = ["6", "10", "11", "12"]


async def they_meet(host: Person, guest: Person, version: str | None = None, **options: Any) -> str:
    """A public room of the host's, into which the guest has come by its alias."""
    localpart = f"tea-{host.localpart}-{host.new_transaction_id()}"
    room = await host.creates_room(
        public=True, name="Tea", version=version, room_alias_name=localpart, **options
    )
    assert await guest.joins(f"#{localpart}:{host.place.name}") == room
    await host.sees(room, member={guest: "join"})
    await guest.sees(room, member={host: "join"})
    return room


async def they_meet_as_peers(host: Person, guest: Person, version: str) -> str:
    """A room in which the guest may change the state too."""
    levels = {"users": {guest.user_id: 50}}
    if version != "12":
        levels["users"][host.user_id] = 100
    return await they_meet(host, guest, version, power_level_content_override=levels)


async def they_agree(room: str, host: Person, guest: Person) -> None:
    """Both servers have the same state events, once what is under way has arrived."""

    async def state_of(person: Person) -> dict[tuple[str, str], str]:
        return {(one["type"], one["state_key"]): one["event_id"] for one in await person.whole_state(room)}

    wanted = await state_of(host)
    await guest.waits_for(lambda: state_of(guest), wanted)


@pytest.mark.parametrize("version", VERSIONS)
async def test_they_talk_and_redact(host: Person, guest: Person, version: str) -> None:
    room = await they_meet(host, guest, version)
    said = await guest.says(room, "hello")
    await host.sees(room, "hello")
    answered = await host.says(room, "hello yourself")
    await guest.sees(room, "hello", "hello yourself")
    await guest.redacts(room, said, reason="in haste")
    await host.redacts(room, answered)
    for person in (host, guest):
        for event_id in (said, answered):
            await person.sees_redacted(room, event_id)
    await they_agree(room, host, guest)


@pytest.mark.parametrize("version", VERSIONS)
async def test_state_goes_both_ways(host: Person, guest: Person, version: str) -> None:
    levels = {"users": {host.user_id: 100, guest.user_id: 50}}
    if version == "12":
        del levels["users"][host.user_id]
    room = await they_meet(host, guest, version, power_level_content_override=levels)
    await host.sets(room, "m.room.topic", {"topic": "cakes"})
    await guest.sees(room, state={"m.room.topic": {"topic": "cakes"}})
    await guest.sets(room, "m.room.name", {"name": "Coffee"})
    await host.sees(room, state={"m.room.name": {"name": "Coffee"}})
    levels = await host.state(room, "m.room.power_levels")
    levels["users"].pop(guest.user_id)
    await host.sets(room, "m.room.power_levels", levels)
    await guest.sees(room, state={"m.room.power_levels": levels})
    with refused("M_FORBIDDEN", 403):
        await guest.sets(room, "m.room.name", {"name": "Cocoa"})
    await they_agree(room, host, guest)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_kicked_may_return_and_the_banned_may_not(
    host: Person, guest: Person, version: str
) -> None:
    room = await they_meet(host, guest, version)
    via = [host.place.name]
    await host.kicks(room, guest, reason="noise")
    await guest.sees(room, membership="leave")
    await host.says(room, "peace")
    with refused("M_FORBIDDEN", 403):
        await guest.says(room, "still here?")
    await guest.joins(room, via=via)
    await host.sees(room, member={guest: "join"})
    await guest.sees(room, membership="join")
    await host.bans(room, guest)
    await guest.sees(room, membership="leave")
    with refused("M_FORBIDDEN", 403):
        await guest.joins(room, via=via)
    await host.unbans(room, guest)
    await guest.joins(room, via=via)
    await host.sees(room, member={guest: "join"})
    await guest.says(room, "I shall be quiet")
    await host.sees(room, "I shall be quiet")
    await guest.leaves(room)
    await host.sees(room, member={guest: "leave"})


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_invited_come_or_decline(host: Person, guest: Person, version: str) -> None:
    room = await host.creates_room(inviting=guest, name="Tea", version=version)
    await guest.sees(room, membership="invite", state={"m.room.name": {"name": "Tea"}})
    await guest.leaves(room)
    await host.sees(room, member={guest: "leave"})
    await host.invites(room, guest, reason="please")
    await guest.sees(room, membership="invite")
    await guest.joins(room)
    await host.sees(room, member={guest: "join"})
    await guest.says(room, "thank you")
    await host.sees(room, "thank you")
    await they_agree(room, host, guest)


async def test_an_invitation_is_taken_back(host: Person, guest: Person) -> None:
    room = await host.creates_room(inviting=guest)
    await guest.sees(room, membership="invite")
    await host.kicks(room, guest)
    await guest.sees(room, membership="leave")
    with refused("M_FORBIDDEN", 403):
        await guest.joins(room, via=[host.place.name])


@pytest.mark.parametrize("version", ["7", "10", "11", "12"])
async def test_who_knocks_is_let_in(host: Person, guest: Person, version: str) -> None:
    room = await host.creates_room(version=version, name="Tea", initial_state=[join_rule("knock")])
    via = [host.place.name]
    await guest.knocks(room, via=via, reason="I bring cake")
    await guest.sees(room, membership="knock", state={"m.room.name": {"name": "Tea"}})
    await host.sees(room, member={guest: "knock"})
    await host.invites(room, guest)
    await guest.sees(room, membership="invite")
    await guest.joins(room)
    await host.sees(room, member={guest: "join"})


async def test_a_knock_is_taken_back(alice: Person, sam: Person) -> None:
    """Only towards Synapse, which tells nobody that a knock of its own user is taken back."""
    room = await sam.creates_room(initial_state=[join_rule("knock")])
    await alice.knocks(room, via=[sam.place.name])
    await sam.sees(room, member={alice: "knock"})
    await alice.sees(room, membership="knock")
    await alice.leaves(room)
    await sam.sees(room, member={alice: "leave"})
    await alice.sees(room, membership="leave")


async def test_a_knock_that_was_refused_can_be_put_away(alice: Person, sam: Person) -> None:
    """Synapse does not tell the knocker's server that it has been refused."""
    room = await sam.creates_room(initial_state=[join_rule("knock")])
    await alice.knocks(room, via=[sam.place.name])
    await sam.sees(room, member={alice: "knock"})
    await alice.sees(room, membership="knock")
    await sam.kicks(room, alice)
    await alice.leaves(room)
    await alice.sees(room, membership="leave")
    await alice.forgets(room)


@pytest.mark.parametrize("version", ["8", "10", "11", "12"])
async def test_members_of_one_room_may_join_another(host: Person, guest: Person, version: str) -> None:
    hall = await host.creates_room(public=True, version=version)
    rule = join_rule("restricted", allow=[{"type": "m.room_membership", "room_id": hall}])
    chamber = await host.creates_room(version=version, initial_state=[rule])
    via = [host.place.name]
    with refused("M_FORBIDDEN", 403):
        await guest.joins(chamber, via=via)
    await guest.joins(hall, via=via)
    await host.sees(hall, member={guest: "join"})
    await guest.joins(chamber, via=via)
    await host.sees(chamber, member={guest: "join"})
    await guest.says(chamber, "cosy")
    await host.sees(chamber, "cosy")
    await they_agree(chamber, host, guest)


async def test_a_room_moves_to_a_new_version(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest, "10")
    answer = await host.request("POST", f"/rooms/{room}/upgrade", {"new_version": "12"})
    successor = answer["replacement_room"]
    await guest.waits_until(
        lambda _: (guest.room(room).content("m.room.tombstone") or {}).get("replacement_room") == successor,
        "the tombstone",
    )
    await guest.joins(successor, via=[host.place.name])
    await host.sees(successor, member={guest: "join"})
    await guest.says(successor, "it smells of paint")
    await host.sees(successor, "it smells of paint")


async def test_a_server_is_shut_out(host: Person, guest: Person) -> None:
    """Hearth is `localhost` and Synapse `127.0.0.1`: rules about servers leave the port aside."""
    via = [host.place.name]
    rule = closed_to(guest.place.name.partition(":")[0])
    room = await host.creates_room(public=True, initial_state=[rule])
    with refused("M_FORBIDDEN", 403):
        await guest.joins(room, via=via)
    await host.sets(room, "m.room.server_acl", {"allow": ["*"], "allow_ip_literals": True})
    await guest.joins(room, via=via)
    await host.sees(room, member={guest: "join"})
    await host.sets(room, "m.room.server_acl", rule["content"])
    await guest.sees(room, state={"m.room.server_acl": rule["content"]})
    # What is said meanwhile does no harm, and afterwards the server takes part again.
    await guest.says(room, "unheard")
    open_again = {"allow": ["*"], "deny": [], "allow_ip_literals": True}
    await host.sets(room, "m.room.server_acl", open_again)
    await guest.sees(room, state={"m.room.server_acl": open_again})
    await guest.says(room, "heard")
    await host.sees(room, "heard")
    await they_agree(room, host, guest)


def closed_to(server: str) -> dict[str, Any]:
    content = {"allow": ["*"], "deny": [server], "allow_ip_literals": True}
    return {"type": "m.room.server_acl", "state_key": "", "content": content}


def join_rule(rule: str, **content: object) -> dict[str, object]:
    return {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": rule, **content}}
