"""What relates to events that are further back than a room keeps in memory."""

from __future__ import annotations

from homeserver.rooms.timeline import TIMELINE_EVENTS
from tests.harness.user import User


async def test_pages_of_the_past_bundle_what_relates_to_their_events(alice: User) -> None:
    room = await alice.creates_room()
    plain = await alice.says(room, "plain")
    edited = await alice.says(room, "befor")
    edit = await alice.says(
        room,
        "* before",
        **{
            "m.new_content": {"msgtype": "m.text", "body": "before"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": edited},
        },
    )
    liked = await alice.says(room, "liked")
    annotation = {"rel_type": "m.annotation", "event_id": liked, "key": "+"}
    await alice.sends(room, "m.reaction", {"m.relates_to": annotation})
    for number in range(TIMELINE_EVENTS):
        await alice.says(room, f"message {number}")
    # What comes late for an event of long ago.
    await alice.says(room, "yes", **{"m.relates_to": {"rel_type": "m.thread", "event_id": plain}})

    answer = await alice.request("GET", f"/rooms/{room}/messages", query={"dir": "b", "limit": 1000})
    shown = {event["event_id"]: event["unsigned"].get("m.relations", {}) for event in answer["chunk"]}
    assert shown[edited]["m.replace"]["event_id"] == edit
    assert shown[plain]["m.thread"]["count"] == 1
    assert shown[liked] == {}
    assert shown[edit] == {}
