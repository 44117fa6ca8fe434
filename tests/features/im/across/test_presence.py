"""Presence between servers: friends elsewhere see who is there, and nobody sees who is invisible."""

from __future__ import annotations

from tests.features.im.across.test_friends import become_friends
from tests.harness.im_user import ImUser
from tests.harness.server import Server


async def test_a_friend_elsewhere_sees_who_is_there_and_not_who_hides(
    one: Server, ann: ImUser, ben: ImUser
) -> None:
    room = await become_friends(ann, ben)
    await ben.stock.syncs()

    async def is_shown() -> str:
        await one.passes(20)
        return str((await ben.call("GET", f"/users/{ann.user_id}/presence"))["status"])

    await ann.call("PUT", "/users/me/presence", {"status": "online"})
    assert await is_shown() == "online"
    await ann.call("PUT", "/users/me/presence", {"status": "invisible"})
    await ann.stock.syncs(set_presence="online")
    await ann.stock.types_in(room)
    await ann.says(room, "boo")
    assert await is_shown() == "offline"
    await ben.stock.syncs()
    assert ben.stock.client.rooms[room].typing == []
    await ann.call("PUT", "/users/me/presence", {"status": "away"})
    assert await is_shown() == "away"
