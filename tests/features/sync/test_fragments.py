"""What readers of a room share of their answers."""

from __future__ import annotations

import json
from typing import Any

from homeserver.events.filters import parse_filter
from homeserver.ids import RoomID
from homeserver.rooms.tokens import parse_token
from homeserver.sync.request import SyncRequest
from homeserver.sync.room_section import Look
from tests.harness.server import Server
from tests.harness.user import User


async def test_a_room_that_goes_on_while_an_answer_is_made_hides_nothing_from_others(
    server: Server, alice: User, bob: User, carol: User
) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await carol.joins(room)
    await bob.syncs()
    since = (await carol.syncs())["next_batch"]
    await alice.says(room, "one")
    sync, live = server.homeserver.services.sync, server.homeserver.services.rooms.rooms.find(room)
    feed = await sync.feeds.open(bob.user_id)
    assert live is not None
    until = sync.composer.now()
    # Bob's answer is made for this place, but it has waited for something else, and the room has gone on.
    await alice.says(room, "two")
    request = SyncRequest(bob.user_id, None, parse_filter({}), since=parse_token(since))
    look = Look(request, live, feed.rooms[RoomID(room)], until, frozenset())
    section = sync.sections.ready(look)
    assert section is not None
    assert b"one" in section
    assert b"two" not in section
    joined = (await carol.syncs())["rooms"]["join"][room]
    assert [event["content"]["body"] for event in joined["timeline"]["events"]] == ["one", "two"]


NO_NAMES = json.dumps({"room": {"state": {"not_types": ["m.room.name"]}}})


def _joined(answer: dict[str, Any], room: str) -> dict[str, Any]:
    joined: dict[str, Any] = answer["rooms"]["join"][room]
    return joined


def _types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def test_state_after_has_only_what_the_filter_lets_through(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    await bob.syncs(filter=NO_NAMES, use_state_after="true")
    await alice.says(room, "hello")
    await alice.sets(room, "m.room.name", {"name": "Garden"})
    await alice.sets(room, "m.room.topic", {"topic": "Beans"})
    section = _joined(await bob.syncs(filter=NO_NAMES, use_state_after="true"), room)
    assert _types(section["state_after"]["events"]) == ["m.room.topic"]


async def test_members_come_again_with_their_messages_if_they_may(alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room)
    for redundant in (True, False):
        state = {"lazy_load_members": True, "include_redundant_members": redundant}
        lazy = json.dumps({"room": {"state": state}})
        await bob.syncs(filter=lazy)
        for _ in range(2):
            await alice.says(room, "hello")
            section = _joined(await bob.syncs(filter=lazy), room)
            members = [event["state_key"] for event in section.get("state", {}).get("events", [])]
            assert members == ([alice.user_id] if redundant else [])
