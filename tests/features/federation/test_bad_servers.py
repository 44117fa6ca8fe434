"""What a server that breaks the rules can do to a room and to the others in it: nothing."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.events.signatures import SigningKey
from homeserver.http.gate.reading import Answer
from tests.harness.network import Network
from tests.harness.rogue import KEY_VALIDITY_MS, Rogue
from tests.harness.server import Server
from tests.harness.user import User


@pytest.fixture
def rogue(network: Network, one: Server) -> Rogue:
    return Rogue(network, one.clock)


async def shared_room(alice: User, rogue: Rogue, version: str = "11") -> str:
    room = await alice.creates_room(public=True, version=version)
    await rogue.joins(room)
    return room


async def still_lives(alice: User, rogue: Rogue, room: str, *, unheard: str = "evil") -> None:
    """Good events pass, and nothing of the bad ones is to be seen."""
    good = rogue.message("a good one")
    assert await rogue.sends(good) == {rogue.id_of(good): {}}
    await alice.says(room, "all is well")
    await alice.sees(room, "a good one", "all is well")
    assert unheard not in str(await alice.messages(room, limit=100))


def other_key() -> SigningKey:
    return SigningKey.of("a_rogue", bytes(32))


async def test_events_that_are_not_what_they_say(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    late_ms = rogue.message("x")["origin_server_ts"] + 2 * KEY_VALIDITY_MS
    many = [rogue.reference(rogue.latest)] * 21
    altered = rogue.message("good before it was evil")
    bad = [
        rogue.message("evil forged", key=other_key()),
        rogue.message("evil by a key that has expired", origin_server_ts=late_ms),
        rogue.message("evil in another's name", sender=alice.user_id),
        rogue.message("evil" * 20_000),
        rogue.message("evil type", type="t" * 256),
        rogue.message("evil key", type="m.room.topic", state_key="k" * 256),
        {**rogue.message("evil and deep"), "depth": 2**53},
        rogue.message("evil and shallow", depth=-1),
        rogue.message("evil follower of many", prev_events=many),
        rogue.message("evil and well authorised", auth_events=many[:11]),
        {**rogue.message("evil fraction"), "content": {"msgtype": "m.text", "body": "evil", "n": 1.5}},
        rogue.message("evil follower of nothing", prev_events=[]),
        rogue.message("evil and unauthorised", auth_events=[]),
        rogue.message("evil elsewhere", room_id="!elsewhere:one.test"),
    ]
    results = await rogue.sends(*bad, "evil text", 5, None, {}, {"room_id": room}, {"room_id": 5})
    assert all("error" in result for result in results.values()), results
    # What is signed but changed afterwards counts as its redacted form.
    altered["content"]["body"] = "evil"
    assert await rogue.sends(altered) == {rogue.id_of(altered): {}}
    await still_lives(alice, rogue, room)


async def test_events_that_cite_those_of_another_room(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    here = list(rogue.state)
    elsewhere = await alice.creates_room(public=True, version="11")
    await rogue.joins(elsewhere)
    there, rogue.state, rogue.latest = rogue.state, here, here[-1]
    levels = next(event for event in there if event["type"] == "m.room.power_levels")
    mine = rogue.message("x")["auth_events"]
    bad = rogue.message("evil", auth_events=[mine[0], rogue.reference(levels), mine[2]])
    assert "error" in (await rogue.sends(bad))[rogue.id_of(bad)]
    bad = rogue.message("evil", prev_events=[rogue.reference(there[-1])])
    assert "error" in (await rogue.sends(bad))[rogue.id_of(bad)]
    await still_lives(alice, rogue, room)


@pytest.mark.parametrize(
    ("version", "depth"), [("1", 2**63 - 1), ("5", 2**63 - 1), ("6", 2**53 - 1), ("12", 2**53 - 1)]
)
async def test_the_deepest_event_leaves_room_for_others(
    alice: User, rogue: Rogue, version: str, depth: int
) -> None:
    room = await shared_room(alice, rogue, version)
    deep = rogue.message("deep", depth=depth)
    assert await rogue.sends(deep) == {rogue.id_of(deep): {}}
    rogue.latest = deep
    await alice.says(room, "deeper")
    await alice.sees(room, "deep", "deeper")
    await still_lives(alice, rogue, room)


async def test_requests_that_somebody_else_signed(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    for signed in (
        {"key": other_key()},
        {"origin": "two.test"},
        {"destination": "two.test"},
        {"uri": "/_matrix/federation/v1/version"},
        {"content": b"{}"},
        {"method": "POST"},
    ):
        status, answer = await rogue.asks("PUT", "federation/v1/send/1", {"pdus": []}, signed=signed)
        assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED"), signed
    status, answer = await rogue.pushes(rogue.message("evil"), origin="two.test")
    assert (status, answer["errcode"]) == (400, "M_BAD_JSON")
    await still_lives(alice, rogue, room)


async def test_transactions_out_of_measure(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    for pdus, edus in (([rogue.message("evil")] * 51, []), ([], [{"edu_type": "x", "content": {}}] * 101)):
        status, answer = await rogue.pushes(*pdus, edus=edus)
        assert (status, answer["errcode"]) == (400, "M_BAD_JSON")
    message = rogue.message("once")
    answers = [await rogue.sends(message, txn_id="same") for _ in range(2)]
    assert answers[0] == answers[1] == {rogue.id_of(message): {}}
    await alice.sees(room, "once")


async def test_messages_in_the_name_of_others_are_not_heard(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    said = await alice.says(room, "hello")
    receipt = {"m.read": {alice.user_id: {"event_ids": [said], "data": {"ts": 1}}}}
    passed = {
        "sender": "@bob:two.test",
        "type": "t",
        "message_id": "1",
        "messages": {alice.user_id: {"*": {}}},
    }
    edus: list[Any] = [
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": "@bob:two.test", "typing": True}},
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": "@no:rogue.test", "typing": True}},
        {"edu_type": "m.receipt", "content": {room: receipt}},
        {"edu_type": "m.presence", "content": {"push": [{"user_id": alice.user_id, "presence": "online"}]}},
        {"edu_type": "m.direct_to_device", "content": passed},
        {"edu_type": "m.unheard.of", "content": {}},
        {"edu_type": 5},
        "evil",
    ]
    assert await rogue.sends(edus=edus) == {}
    await alice.syncs()
    assert alice.room(room).typing == []
    assert alice.client.to_device == []
    assert alice.room(room).receipts == {}
    await still_lives(alice, rogue, room)


async def test_a_circle_of_events_ends(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue, "1")
    first, second = "$first:rogue.test", "$second:rogue.test"
    one = rogue.message("evil", event_id=first, prev_events=[[second, {}]])
    two = rogue.message("evil", event_id=second, prev_events=[[first, {}]])
    rogue.answers["federation/v1/get_missing_events"] = {"events": [one, two]}
    results = await rogue.sends(one)
    assert "error" in results[first]
    auth = one["auth_events"]
    one = rogue.message("evil", event_id="$third:rogue.test", auth_events=[*auth, ["$fourth:rogue.test", {}]])
    two = rogue.message("evil", event_id="$fourth:rogue.test", auth_events=[*auth, ["$third:rogue.test", {}]])
    rogue.answers["federation/v1/event_auth"] = {"auth_chain": [one, two]}
    rogue.answers["federation/v1/event/"] = {"pdus": [two]}
    assert "error" in (await rogue.sends(one))["$third:rogue.test"]
    await still_lives(alice, rogue, room)


async def test_gaps_that_nobody_fills(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    lost = rogue.message("lost")
    after = rogue.message("evil", prev_events=[rogue.reference(lost)])
    good = rogue.message("beside it")
    results = await rogue.sends(after, good)
    assert "error" in results[rogue.id_of(after)]
    assert results[rogue.id_of(good)] == {}
    await alice.sees(room, "beside it")


def _endless(_request: Any) -> Answer:
    return Answer(200, {}, b'{"events":[' + b" " * (60 * 1024 * 1024))


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b'{"events":' + b"[" * 100_000,
        {"events": 5},
        {"events": [5, None, {}, {"room_id": 5}]},
        Answer(302, {"location": "http://127.0.0.1/"}, b""),
        Answer(500, {}, b"<html>"),
        _endless,
    ],
    ids=["not JSON", "deep", "a number", "no events", "a way inside", "an error", "endless"],
)
async def test_answers_that_are_none(
    alice: User, rogue: Rogue, one: Server, network: Network, said: Any
) -> None:
    room = await shared_room(alice, rogue)
    for path in ("get_missing_events", "state_ids", "state/", "event/", "event_auth", "backfill"):
        rogue.answers[f"federation/v1/{path}"] = said
    gap = rogue.message("evil", prev_events=[rogue.reference(rogue.message("lost"))])
    results = await rogue.sends(gap)
    assert "error" in results[rogue.id_of(gap)]
    asked = {request.destination for _, request in network.requests}
    assert asked <= {"one.test", "rogue.test"}
    await still_lives(alice, rogue, room)


async def test_a_slow_server_keeps_nobody_waiting(alice: User, bob: User, rogue: Rogue, one: Server) -> None:
    room = await shared_room(alice, rogue)
    await bob.joins(room, via=["one.test"])
    await alice.sees(room, member={bob: "join"})

    async def slowly(_request: Any) -> dict[str, Any]:
        await one.clock.sleep(50)
        return {"events": []}

    rogue.answers["federation/v1/get_missing_events"] = slowly
    gap = rogue.message("evil", prev_events=[rogue.reference(rogue.message("lost"))])
    pushed = Deferred.fromCoroutine(rogue.sends(gap))
    began_s = one.clock.seconds()
    await bob.says(room, "in time")
    await alice.sees(room, "in time")
    await alice.says(room, "so am I")
    assert one.clock.seconds() - began_s < 5
    assert "error" in (await pushed)[rogue.id_of(gap)]


async def test_a_state_that_is_a_lie(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    create = next(event for event in rogue.state if event["type"] == "m.room.create")
    mine = {**rogue.message("x"), "type": "m.room.create", "state_key": "", "content": {"room_version": "11"}}
    levels = rogue.message(
        "x", type="m.room.power_levels", state_key="", content={"users": {rogue.user: 100}}
    )
    forged = rogue.signs({**create, "content": {"room_version": "11", "m.federate": False}})
    lost = rogue.message("lost")
    for state in ([], [levels], [rogue.signs(mine)], [forged], [create, levels, rogue.state[-1]]):
        ids = [rogue.id_of(event) for event in state]
        by_id = {rogue.id_of(event): event for event in state}
        rogue.answers = {
            "federation/v1/get_missing_events": {"events": []},
            "federation/v1/state_ids": {"pdu_ids": ids, "auth_chain_ids": []},
            "federation/v1/state/": {"pdus": state, "auth_chain": []},
            "federation/v1/event/": lambda request, known=by_id: {
                "pdus": [event for event_id, event in known.items() if event_id[1:] in request.uri]
            },
        }
        takeover = rogue.message(
            "x",
            type="m.room.name",
            state_key="",
            content={"name": "evil"},
            prev_events=[rogue.reference(lost)],
        )
        await rogue.sends(takeover)
        assert "evil" not in str(await alice.whole_state(room))
        assert rogue.user not in (await alice.state(room, "m.room.power_levels")).get("users", {})
    await still_lives(alice, rogue, room)


async def test_a_flood_of_forks_is_tied_together(alice: User, rogue: Rogue, one: Server) -> None:
    room = await shared_room(alice, rogue)
    forks = [rogue.message(f"fork {number}") for number in range(90)]
    for first in range(0, 90, 45):
        results = await rogue.sends(*forks[first : first + 45])
        assert all(result == {} for result in results.values())
    await one.passes(120)
    said = await alice.says(room, "the end of it")
    live = one.homeserver.services.rooms.rooms.find(room)
    assert live is not None
    assert len(live.head.extremities) <= 90
    event = live.timeline.find(said)
    assert event is not None
    assert len(event.event.prev_events) <= 20
    for _ in range(8):
        await alice.says(room, "tying")
    assert len(live.head.extremities) <= 20


async def test_who_is_kept_out_by_the_list(alice: User, rogue: Rogue) -> None:
    room = await shared_room(alice, rogue)
    await alice.sets(room, "m.room.server_acl", {"allow": ["*"], "deny": ["ROGUE.*"]})
    bad = rogue.message("evil")
    assert "error" in (await rogue.sends(bad))[rogue.id_of(bad)]
    typing = {"edu_type": "m.typing", "content": {"room_id": room, "user_id": rogue.user, "typing": True}}
    assert await rogue.sends(edus=[typing]) == {}
    await alice.syncs()
    assert alice.room(room).typing == []
    event = rogue.id_of(rogue.latest)
    for path in (
        f"make_join/{room}/{rogue.user}?ver=11",
        f"make_leave/{room}/{rogue.user}",
        f"make_knock/{room}/{rogue.user}?ver=11",
        f"state/{room}?event_id={event}",
        f"state_ids/{room}?event_id={event}",
        f"backfill/{room}?v={event}&limit=5",
        f"event_auth/{room}/{event}",
    ):
        status, answer = await rogue.asks("GET", f"federation/v1/{path}")
        assert (status, answer["errcode"]) == (403, "M_FORBIDDEN"), path
    missing = {"latest_events": [event], "earliest_events": []}
    status, answer = await rogue.asks("POST", f"federation/v1/get_missing_events/{room}", missing)
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
