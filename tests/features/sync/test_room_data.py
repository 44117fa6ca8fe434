"""Account data of rooms that somebody comes into after they have stored it."""

from __future__ import annotations

from tests.harness.server import Server
from tests.harness.socket import opens_socket
from tests.harness.user import User


async def test_what_was_kept_before_coming_in_comes_with_the_room(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(public=True)
    await bob.syncs()
    line = opens_socket(server, bob.access_token)
    await line.receives()
    await bob.keeps("test.mark", {"count": 4}, room=room)
    await bob.syncs()
    await bob.joins(room)
    await bob.syncs()
    assert bob.room(room).account_data == {"test.mark": {"count": 4}}
    kept: list[dict[str, object]] = []
    while not kept:
        update = await line.receives()
        joined = update.get("rooms", {}).get("join", {}).get(room, {})
        if "timeline" in joined:
            kept = joined.get("account_data", {}).get("events", [])
            break
    assert [event["content"] for event in kept] == [{"count": 4}]
