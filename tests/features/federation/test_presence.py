"""Who is there, as other servers are told."""

from __future__ import annotations

from tests.harness.server import Server
from tests.harness.user import User


async def is_at(person: User, place: str) -> None:
    status = {"presence": "online", "status_msg": place}
    await person.request("PUT", f"/presence/{person.user_id}/status", status)


async def sees(person: User, other: User, *, at: str) -> None:
    await person.waits_until(
        lambda client: client.presence.get(other.user_id, {}).get("status_msg") == at, f"{other} at {at}"
    )


async def test_presence_is_told_after_a_restart(one: Server, alice: User, bob: User) -> None:
    """Nobody has looked into the room since, so it is not in memory."""
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})
    await is_at(alice, "tea")
    await sees(bob, alice, at="tea")
    await one.restarts()
    await is_at(alice, "dinner")
    await sees(bob, alice, at="dinner")


async def test_who_comes_into_a_room_sees_who_is_there(alice: User, bob: User) -> None:
    """Both were online before they met."""
    await is_at(alice, "home")
    await is_at(bob, "work")
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await sees(alice, bob, at="work")
    await sees(bob, alice, at="home")
