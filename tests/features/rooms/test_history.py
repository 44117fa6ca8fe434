"""Looking back: pages of messages, the context of an event, the event at a time, and who may see what.

Spec: https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room
"""

from __future__ import annotations

import json

import pytest

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


def bodies(events: list[dict[str, object]]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]  # type: ignore[index]  # JSON


async def talk(user: User, room: str, count: int) -> list[str]:
    return [await user.says(room, str(number)) for number in range(count)]


async def test_pages_lead_back_to_the_beginning_and_forth_again(alice: User) -> None:
    room = await alice.creates_room()
    await talk(alice, room, 25)
    back: list[str] = []
    start = None
    while True:
        page = await alice.messages(room, limit=7, from_=start)
        back += bodies(page["chunk"])
        if "end" not in page:
            break
        assert page["end"] != page["start"]
        start = page["end"]
    assert back == [str(number) for number in reversed(range(25))]
    forth: list[str] = []
    start = None
    for _ in range(20):
        page = await alice.messages(room, dir="f", limit=7, from_=start)
        forth += bodies(page["chunk"])
        if "end" not in page:
            break
        start = page["end"]
    assert forth == [str(number) for number in range(25)]


async def test_a_page_goes_on_from_a_sync(alice: User) -> None:
    room = await alice.creates_room()
    await talk(alice, room, 30)
    limited = json.dumps({"room": {"timeline": {"limit": 5}}})
    timeline = (await alice.syncs(filter=limited))["rooms"]["join"][room]["timeline"]
    assert timeline["limited"] is True
    page = await alice.messages(room, from_=timeline["prev_batch"], limit=5)
    assert bodies(timeline["events"]) == ["25", "26", "27", "28", "29"]
    assert bodies(page["chunk"]) == ["24", "23", "22", "21", "20"]


async def test_pages_may_be_filtered_and_bounded(alice: User) -> None:
    room = await alice.creates_room()
    await talk(alice, room, 5)
    only_names = json.dumps({"types": ["m.room.create"]})
    page = await alice.messages(room, filter=only_names, limit=10)
    assert [event["type"] for event in page["chunk"]] == ["m.room.create"]
    newest = await alice.messages(room, limit=2)
    older = await alice.messages(room, limit=10, from_=newest["end"])
    assert bodies(older["chunk"]) == ["2", "1", "0"]
    bounded = await alice.messages(room, limit=10, to=newest["end"])
    assert bodies(bounded["chunk"]) == ["4", "3"]


@pytest.mark.parametrize(
    "query",
    [
        {"dir": "sideways"},
        {"limit": "many"},
        {"from_": "nonsense"},
        {"filter": "{"},
        {"filter": '{"limit": "x"}'},
    ],
)
async def test_pages_that_cannot_be_are_refused(alice: User, query: dict[str, str]) -> None:
    room = await alice.creates_room()
    answer = await alice.ask(
        "GET", f"/rooms/{room}/messages", query={"dir": "b", **query, "from": query.get("from_")}
    )
    assert answer.status == 400, answer.body


async def test_an_event_is_shown_in_its_context(alice: User) -> None:
    room = await alice.creates_room(name="Tea")
    events = await talk(alice, room, 11)
    await alice.sets(room, "m.room.name", {"name": "Supper"})
    context = await alice.request("GET", f"/rooms/{room}/context/{segment(events[5])}", query={"limit": 4})
    assert context["event"]["event_id"] == events[5]
    assert bodies(context["events_before"]) == ["4", "3"]
    assert bodies(context["events_after"]) == ["6", "7"]
    names = [event["content"]["name"] for event in context["state"] if event["type"] == "m.room.name"]
    assert names == ["Tea"]
    older = await alice.messages(room, from_=context["start"], limit=2)
    assert bodies(older["chunk"]) == ["2", "1"]
    newer = await alice.messages(room, from_=context["end"], limit=2, dir="f")
    assert bodies(newer["chunk"]) == ["8", "9"]
    alone = await alice.request("GET", f"/rooms/{room}/context/{segment(events[5])}", query={"limit": 0})
    assert alone.get("events_before", []) == alone.get("events_after", []) == []
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"/rooms/{room}/context/$nothing")


async def test_the_event_at_a_time_is_found(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room()
    times = []
    events = []
    for number in range(3):
        await server.passes(60)
        times.append(server.clock.now_ms())
        events.append(await alice.says(room, str(number)))

    async def at(ts: int, direction: str, user: User = alice) -> str:
        path = f"/_matrix/client/v1/rooms/{room}/timestamp_to_event"
        return str((await user.request("GET", path, query={"ts": ts, "dir": direction}))["event_id"])

    assert await at(times[1], "f") == events[1]
    assert await at(times[1], "b") == events[1]
    assert await at(times[1] + 1, "f") == events[2]
    assert await at(times[1] + 1, "b") == events[1]
    with refused("M_NOT_FOUND", 404):
        await at(times[2] + 1, "f")
    with refused("M_NOT_FOUND", 404):
        await at(1, "b")
    with refused("M_FORBIDDEN", 403):
        await at(times[1], "f", bob)


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        ("world_readable", ["before", "invited", "joined"]),
        ("shared", ["before", "invited", "joined"]),
        ("invited", ["invited", "joined"]),
        ("joined", ["joined"]),
    ],
)
async def test_visibility_decides_what_newcomers_see(
    alice: User, bob: User, visibility: str, seen: list[str]
) -> None:
    setting = {"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}
    room = await alice.creates_room(initial_state=[setting])
    before = await alice.says(room, "before")
    await alice.invites(room, bob)
    await alice.says(room, "invited")
    await bob.joins(room)
    await alice.says(room, "joined")
    assert bodies((await bob.messages(room, limit=50))["chunk"]) == seen[::-1]
    await bob.syncs()
    assert bob.room(room).bodies() == seen
    if "before" in seen:
        assert (await bob.event(room, before))["event_id"] == before
    else:
        with refused("M_NOT_FOUND", 404):
            await bob.event(room, before)
        with refused("M_NOT_FOUND", 404):
            await bob.request("GET", f"/rooms/{room}/context/{segment(before)}")
    await bob.leaves(room)
    after = await alice.says(room, "left")
    if visibility == "world_readable":
        assert (await bob.event(room, after))["event_id"] == after
    else:
        with refused("M_NOT_FOUND", 404):
            await bob.event(room, after)
        assert bodies((await bob.messages(room, limit=50))["chunk"]) == seen[::-1]


async def test_anybody_may_look_into_a_room_for_the_world(alice: User, bob: User) -> None:
    setting = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room = await alice.creates_room(initial_state=[setting])
    await alice.says(room, "hello, world")
    assert bodies((await bob.messages(room))["chunk"]) == ["hello, world"]
    assert await bob.state(room, "m.room.join_rules") == {"join_rule": "invite"}
    with refused("M_FORBIDDEN", 403):
        await bob.says(room, "hello, alice")


async def test_who_left_sees_the_room_as_it_was(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea")
    await bob.joins(room)
    await bob.leaves(room)
    await alice.sets(room, "m.room.name", {"name": "Secret supper"})
    assert (await bob.state(room, "m.room.name"))["name"] == "Tea"
    assert {
        event["content"]["name"] for event in await bob.whole_state(room) if event["type"] == "m.room.name"
    } == {"Tea"}
    assert (await bob.members(room))[alice.user_id] == "join"


async def test_lazy_pages_bring_the_members_who_speak(alice: User, bob: User, carol: User) -> None:
    room = await alice.creates_room(inviting=[bob, carol])
    await bob.joins(room)
    await carol.joins(room)
    await bob.says(room, "hello")
    page = await alice.messages(room, limit=1, filter=json.dumps({"lazy_load_members": True}))
    assert [event["state_key"] for event in page["state"]] == [bob.user_id]
