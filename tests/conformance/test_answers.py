"""Answers that the specification declares and that no story asks for in just this way."""

from __future__ import annotations

from tests.harness.client import segment
from tests.harness.server import Server
from tests.harness.user import User


async def test_what_is_asked_for_in_other_ways_too(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    said = await alice.says(room, "hello")
    assert (await bob.request("POST", f"/rooms/{segment(room)}/join"))["room_id"] == room
    await bob.request("POST", f"/rooms/{segment(room)}/read_markers", {"m.fully_read": said, "m.read": said})
    await alice.request(
        "PUT", f"/presence/{alice.user_id}/status", {"presence": "online", "status_msg": "tea"}
    )
    state = await bob.request("GET", f"/presence/{alice.user_id}/status")
    assert (state["presence"], state["status_msg"]) == ("online", "tea")
