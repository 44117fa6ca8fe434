"""Coming and going: invitations, knocks, restricted rooms, kicks, bans and forgetting.

Spec: https://spec.matrix.org/v1.19/client-server-api/#room-membership
"""

from __future__ import annotations

import pytest

from tests.harness.refusals import refused
from tests.harness.user import User


async def restricted(owner: User, allowed: str, *, rule: str = "restricted", version: str = "10") -> str:
    join_rules = {
        "type": "m.room.join_rules",
        "content": {"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": allowed}]},
    }
    return await owner.creates_room(version=version, initial_state=[join_rules])


async def test_everybody_who_is_in_is_listed(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=[bob, carol])
    await bob.joins(room)
    assert await alice.members(room) == {
        alice.user_id: "join",
        bob.user_id: "join",
        carol.user_id: "invite",
    }
    assert await alice.members(room, membership="invite") == {carol.user_id: "invite"}
    assert await alice.members(room, not_membership="join") == {carol.user_id: "invite"}
    joined = await bob.request("GET", f"/rooms/{room}/joined_members")
    assert set(joined["joined"]) == {alice.user_id, bob.user_id}
    assert (await bob.request("GET", "/joined_rooms"))["joined_rooms"] == [room]
    with refused("M_FORBIDDEN", 403):
        await carol.request("GET", f"/rooms/{room}/joined_members")


@pytest.mark.parametrize("version", ["7", "11", "12"])
async def test_knocking_is_answered_with_an_invitation(alice: User, bob: User, version: str) -> None:
    knock = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room = await alice.creates_room(version=version, initial_state=[knock], name="Tea")
    assert await bob.knocks(room, reason="thirsty") == room
    await bob.sees(room, membership="knock", state={"m.room.name": {"name": "Tea"}})
    await alice.sees(room, member={bob: "knock"})
    assert (await alice.state(room, "m.room.member", bob.user_id))["reason"] == "thirsty"
    with refused("M_FORBIDDEN", 403):
        await bob.joins(room)
    await alice.invites(room, bob)
    await bob.sees(room, membership="invite")
    await bob.joins(room)
    await alice.sees(room, member={bob: "join"})


async def test_a_knock_may_be_turned_away_or_taken_back(alice: User, bob: User, carol: User) -> None:
    knock = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room = await alice.creates_room(initial_state=[knock])
    await bob.knocks(room)
    await bob.sees(room, membership="knock")
    await alice.kicks(room, bob)
    await bob.sees(room, membership="leave")
    await carol.knocks(room)
    await carol.sees(room, membership="knock")
    await carol.leaves(room)
    await carol.sees(room, membership="leave")
    closed = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await bob.knocks(closed)


@pytest.mark.parametrize("version", ["8", "10", "11", "12"])
async def test_members_of_one_room_may_come_into_another(
    alice: User, bob: User, carol: User, version: str
) -> None:
    club = await alice.creates_room(inviting=bob)
    inner = await restricted(alice, club, version=version)
    with refused("M_FORBIDDEN", 403):
        await bob.joins(inner)
    await bob.joins(club)
    await bob.joins(inner)
    await alice.sees(inner, member={bob: "join"})
    member = await alice.state(inner, "m.room.member", bob.user_id)
    assert member["join_authorised_via_users_server"] == alice.user_id
    with refused("M_FORBIDDEN", 403):
        await carol.joins(inner)


async def test_others_may_knock_where_members_of_a_room_may_come(alice: User, carol: User) -> None:
    club = await alice.creates_room()
    inner = await restricted(alice, club, rule="knock_restricted")
    await carol.knocks(inner)
    await alice.invites(inner, carol)
    await carol.joins(inner)


async def test_the_kicked_may_come_back_and_the_banned_may_not(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await carol.joins(room)
    await bob.sees(room, membership="join")
    await alice.kicks(room, bob, reason="noise")
    await bob.sees(room, membership="leave")
    assert (await alice.state(room, "m.room.member", bob.user_id))["reason"] == "noise"
    await bob.joins(room)
    await bob.sees(room, membership="join")
    with refused("M_FORBIDDEN", 403):
        await bob.bans(room, carol)
    with refused("M_FORBIDDEN", 403):
        await bob.kicks(room, alice)
    await alice.bans(room, bob)
    await bob.sees(room, membership="leave", member={bob: "ban"})
    with refused("M_FORBIDDEN", 403):
        await bob.joins(room)
    await alice.unbans(room, bob)
    await bob.joins(room)


async def test_nobody_is_kicked_who_is_not_there(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await alice.kicks(room, bob)
    with refused("M_BAD_STATE", 403):
        await alice.unbans(room, bob)


async def test_inviting_is_for_members_and_of_those_outside(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=bob)
    with refused("M_FORBIDDEN", 403):
        await carol.invites(room, carol)
    with refused("M_FORBIDDEN", 403):
        await alice.invites(room, alice)
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await alice.invites(room, bob)
    with refused("M_BAD_JSON", 400):
        await alice.request("POST", f"/rooms/{room}/invite", {"user_id": 5})


async def test_joining_twice_changes_nothing(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    before = (await bob.syncs())["next_batch"]
    assert await bob.joins(room) == room
    assert "rooms" not in await bob.syncs(since=before)


async def test_leaving_twice_changes_nothing(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await bob.leaves(room)
    await bob.leaves(room)


async def test_what_is_left_can_be_forgotten(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    with refused("M_UNKNOWN", 400):
        await bob.forgets(room)
    await bob.leaves(room)
    assert (
        room
        in (await bob.request("GET", "/sync", query={"filter": '{"room":{"include_leave":true}}'}))["rooms"][
            "leave"
        ]
    )
    await bob.forgets(room)
    again = await bob.request("GET", "/sync", query={"filter": '{"room":{"include_leave":true}}'})
    assert room not in again.get("rooms", {}).get("leave", {})
    with refused("M_FORBIDDEN", 403):
        await bob.messages(room)
    await alice.invites(room, bob)
    await bob.joins(room)
    await bob.sees(room, membership="join")


async def test_membership_may_be_set_as_state_too(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sets(
        room, "m.room.member", {"membership": "join", "displayname": "Bobby"}, state_key=bob.user_id
    )
    await alice.sees(room, member={bob: "join"})
    with refused("M_FORBIDDEN", 403):
        await bob.sets(room, "m.room.member", {"membership": "leave"}, state_key=alice.user_id)
    with refused("M_BAD_JSON", 400):
        await bob.sets(room, "m.room.member", {"membership": 5}, state_key=bob.user_id)


async def test_rooms_that_do_not_exist_are_refused(alice: User) -> None:
    with refused("M_NOT_FOUND", 404):
        await alice.joins("#nothing:one.test")
    with refused("M_INVALID_PARAM", 400):
        await alice.joins("nonsense")
    for act in (alice.leaves, alice.joins):
        answer = await _attempt(act, "!nothing:one.test")
        assert answer in ("M_NOT_FOUND", "M_FORBIDDEN")


async def _attempt(act: object, room: str) -> str:
    from tests.harness.refusals import Refused

    try:
        await act(room)  # type: ignore[operator]  # a bound verb
    except Refused as refusal:
        return refusal.errcode
    return "nothing"
