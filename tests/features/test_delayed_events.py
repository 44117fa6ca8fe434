"""Events that are sent later (MSC4140), in every way that clients ask for them."""

from __future__ import annotations

from typing import Any

from homeserver.rooms.delayed import MAX_SCHEDULED
from storage import delayed_events
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140"


async def later(user: User, room: str, body: str, delay_ms: int) -> str:
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{user.new_transaction_id()}"
    answer = await user.request(
        "PUT", path, {"msgtype": "m.text", "body": body}, query={"org.matrix.msc4140.delay": delay_ms}
    )
    return str(answer["delay_id"])


async def waiting(user: User) -> list[dict[str, Any]]:
    events = (await user.request("GET", f"{UNSTABLE}/delayed_events"))["delayed_events"]
    assert isinstance(events, list)
    return events


async def test_an_event_comes_when_it_is_due_and_not_before(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    delay_id = await later(alice, room, "surprise", 10_000)
    assert [event["delay_id"] for event in await waiting(alice)] == [delay_id]
    await server.passes(9)
    assert "surprise" not in str(await bob.messages(room))
    await server.passes(2)
    await bob.sees(room, "surprise")
    assert await waiting(alice) == []
    own = await alice.syncs()
    event = own["rooms"]["join"][room]["timeline"]["events"][-1]
    assert event["unsigned"]["org.matrix.msc4140.delay_id"] == delay_id
    assert "delay_id" not in str(await bob.syncs())


async def test_state_leaves_by_itself_unless_it_is_kept_alive(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    path = f"/_matrix/client/v3/rooms/{room}/state/org.matrix.msc3401.call.member/_{alice.user_id}_D"
    answer = await alice.request("PUT", path, {}, query={"org.matrix.msc4140.delay": 8_000})
    await alice.request("PUT", path, {"memberships": [1]})
    for _ in range(3):
        await server.passes(5)
        await alice.request("POST", f"{UNSTABLE}/delayed_events/{answer['delay_id']}", {"action": "restart"})
    assert await alice.state(room, "org.matrix.msc3401.call.member", f"_{alice.user_id}_D") == {
        "memberships": [1]
    }
    await server.passes(9)
    assert await alice.state(room, "org.matrix.msc3401.call.member", f"_{alice.user_id}_D") == {}


async def test_it_can_be_sent_at_once_or_called_off(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    now, never = await later(alice, room, "now", 60_000), await later(alice, room, "never", 60_000)
    await alice.request("POST", f"/_matrix/client/v1/delayed_events/{now}/send")
    await bob.sees(room, "now")
    await alice.request("POST", f"/_matrix/client/v1/delayed_events/{never}/cancel")
    await alice.request("POST", f"/_matrix/client/v1/delayed_events/{never}/cancel")
    with refused("M_UNKNOWN", 409):
        await alice.request("POST", f"/_matrix/client/v1/delayed_events/{never}/send")
    with refused("M_NOT_FOUND", 404):
        await bob.request("POST", f"/_matrix/client/v1/delayed_events/{never}/cancel")
    shown = await alice.request("GET", f"/_matrix/client/v1/delayed_events/{now}")
    assert shown["event_id"]
    assert await alice.request("GET", f"{UNSTABLE}/delayed_events/{now}") == shown
    ended = await alice.request("GET", f"{UNSTABLE}/delayed_events/finalised")
    assert {event["delay_id"] for event in ended["finalised_events"]} == {now, never}


async def test_a_restart_forgets_nothing(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await later(alice, room, "after the restart", 5_000)
    await server.restarts()
    await server.passes(6)
    await bob.sees(room, "after the restart")


async def test_a_refusal_when_the_time_has_come_is_final(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    delay_id = await later(bob, room, "too late", 5_000)
    await alice.kicks(room, bob)
    await server.passes(6)
    shown = await bob.request("GET", f"/_matrix/client/v1/delayed_events/{delay_id}")
    assert shown["error"]["errcode"] == "M_FORBIDDEN"


async def test_too_long_and_too_far_away_are_refused(alice: User, bob: User) -> None:
    room = await alice.creates_room()
    with refused("M_FORBIDDEN", 403):
        await later(alice, room, "next year", 365 * 24 * 3600 * 1000)
    with refused("M_INVALID_PARAM", 400):
        await later(alice, room, "yesterday", -5)
    with refused("M_FORBIDDEN", 403):
        await later(bob, room, "not my room", 5)


async def test_what_fell_due_while_the_server_was_down_comes_in_its_order(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    for seconds in (9, 3, 7, 1, 5):
        await later(alice, room, f"after {seconds}", seconds * 1000)
    await server.stops()
    await server.passes(8)
    await server.starts()
    await server.passes(3)
    await bob.sees(room, "after 1", "after 3", "after 5", "after 7", "after 9")


async def test_what_was_being_sent_when_the_server_died_is_sent_once(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    lost, kept = await later(alice, room, "lost?", 60_000), await later(alice, room, "sent", 60_000)
    await alice.request("POST", f"/_matrix/client/v1/delayed_events/{kept}/send")
    database = server.homeserver.surroundings.database
    # As the crash leaves them: one died before its event was written, the other right after.
    await database.run(delayed_events.finalise, lost, delayed_events.SENT, server.clock.now_ms())
    await database.run(delayed_events.set_outcome, kept, event_id=None, error=None)
    await server.restarts()
    await server.passes(1)
    await bob.sees(room, "sent", "lost?")
    bodies = bob.room(room).bodies()
    assert (bodies.count("sent"), bodies.count("lost?")) == (1, 1)
    for delay_id in (lost, kept):
        assert (await alice.request("GET", f"/_matrix/client/v1/delayed_events/{delay_id}"))["event_id"]


async def test_so_many_may_wait_and_no_more(alice: User) -> None:
    room = await alice.creates_room()
    for number in range(MAX_SCHEDULED):
        await later(alice, room, str(number), 60_000)
    with refused("M_LIMIT_EXCEEDED", 429):
        await later(alice, room, "too many", 60_000)
