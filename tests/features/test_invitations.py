"""Invitations: seen, accepted, declined and taken back."""

from __future__ import annotations

from tests.harness.refusals import refused
from tests.harness.user import User


async def test_who_declines_is_told_so_on_every_device(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.sees(room, membership="invite")
    await bob.leaves(room)
    await bob.sees(room, membership="leave", member={bob: "leave"})
    await alice.sees(room, member={bob: "leave"})


async def test_an_invitation_can_be_taken_back(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await alice.says(room, "not for bob")
    await bob.sees(room, membership="invite")
    await alice.kicks(room, bob, reason="a mistake")
    await bob.sees(room, membership="leave", member={bob: "leave"})
    assert bob.room(room).bodies() == []
    with refused("M_FORBIDDEN", 403):
        await bob.joins(room)


async def test_the_banned_cannot_be_invited(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    await alice.bans(room, bob)
    with refused("M_FORBIDDEN", 403):
        await alice.invites(room, bob)
    await alice.unbans(room, bob)
    await alice.invites(room, bob)
    await bob.joins(room)
