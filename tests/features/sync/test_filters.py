"""Filters hold back the same whether the answer is made at once or by a poll that was waiting."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.harness.server import Server
from tests.harness.user import User

ONLY_NAMES = {"types": ["m.room.name"]}


async def heard(
    server: Server, alice: User, bob: User, filter_json: dict[str, Any], *, waiting: bool
) -> list[str]:
    """What bob's client is told of what alice does, with a filter: types of its timeline, then of its state."""
    made = await bob.request("POST", f"/user/{bob.user_id}/filter", filter_json)
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.syncs(filter=made["filter_id"])
    answers = []
    for act in (
        alice.says(room, "hello"),
        alice.sets(room, "m.room.topic", {"topic": "tea"}),
        alice.sets(room, "m.room.name", {"name": "Tea"}),
        alice.sends(room, "m.reaction", {"url": "mxc://one.test/x"}),
    ):
        polling: Any = None
        if waiting:
            polling = Deferred.fromCoroutine(bob.syncs(timeout_ms=1000, filter=made["filter_id"]))
            await server.passes(0.1)
        await act
        answers.append(await (polling if waiting else bob.syncs(filter=made["filter_id"])))
    sections = [answer.get("rooms", {}).get("join", {}).get(room, {}) for answer in answers]
    found = [event["type"] for section in sections for event in section.get("timeline", {}).get("events", ())]
    return [*found, "|", *(event["type"] for s in sections for event in s.get("state", {}).get("events", ()))]


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(
    ("filter_json", "expected"),
    [
        (
            {"room": {"timeline": ONLY_NAMES}},
            ["m.room.name", "|", "m.room.topic"],
        ),
        (
            {"room": {"timeline": {"not_types": ["m.room.*"]}}},
            ["m.reaction", "|", "m.room.topic", "m.room.name"],
        ),
        ({"room": {"timeline": {"contains_url": True}}}, ["m.reaction", "|", "m.room.topic", "m.room.name"]),
        ({"room": {"timeline": {"senders": []}, "state": ONLY_NAMES}}, ["|", "m.room.name"]),
        ({"room": {"not_rooms": [], "rooms": []}}, ["|"]),
        ({}, ["m.room.message", "m.room.topic", "m.room.name", "m.reaction", "|"]),
    ],
)
async def test_what_is_held_back(
    server: Server, alice: User, bob: User, filter_json: dict[str, Any], expected: list[str], *, waiting: bool
) -> None:
    assert await heard(server, alice, bob, filter_json, waiting=waiting) == expected
