"""`use_state_after`: the state section says how the state is after the timeline, and says it all.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.user import User

LAZY = json.dumps({"room": {"state": {"lazy_load_members": True}}})


def members_in(section: dict[str, Any], key: str) -> dict[str, str]:
    return {
        event["state_key"]: event["content"]["membership"]
        for event in section[key]["events"]
        if event["type"] == "m.room.member"
    }


@pytest.mark.parametrize(
    ("parameter", "key"),
    [
        ("use_state_after", "state_after"),
        ("org.matrix.msc4222.use_state_after", "org.matrix.msc4222.state_after"),
    ],
)
async def test_whoever_comes_and_speaks_is_in_the_state_after(
    alice: User, bob: User, carol: User, parameter: str, key: str
) -> None:
    asked: dict[str, Any] = {"filter": LAZY, parameter: True}
    await bob.syncs(**asked)
    room = await alice.creates_room(inviting=[bob, carol])
    await bob.joins(room)
    joined = (await bob.syncs(**asked))["rooms"]["join"][room]
    assert "state" not in joined
    assert members_in(joined, key) == {alice.user_id: "join", bob.user_id: "join", carol.user_id: "invite"}

    await carol.joins(room)
    await carol.says(room, "here I am")
    later = (await bob.syncs(**asked))["rooms"]["join"][room]
    assert members_in(later, key) == {carol.user_id: "join"}

    first = await bob.request("GET", "/sync", query=asked)
    assert members_in(first["rooms"]["join"][room], key)[carol.user_id] == "join"


async def test_leaving_is_in_the_state_after(alice: User, bob: User, carol: User) -> None:
    asked: dict[str, Any] = {"filter": LAZY, "use_state_after": True}
    room = await alice.creates_room(inviting=[bob, carol])
    await bob.joins(room)
    await bob.syncs(**asked)
    await carol.syncs(**asked)
    await alice.sets(room, "m.room.topic", {"topic": "farewell"})
    await bob.leaves(room)
    left = (await bob.syncs(**asked))["rooms"]["leave"][room]
    assert "state" not in left
    assert members_in(left, "state_after")[bob.user_id] == "leave"
    assert "m.room.topic" in {event["type"] for event in left["state_after"]["events"]}

    await carol.leaves(room)
    declined = (await carol.syncs(**asked))["rooms"]["leave"][room]
    assert members_in(declined, "state_after") == {carol.user_id: "leave"}
    assert len(declined["state_after"]["events"]) == 1
