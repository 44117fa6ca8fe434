"""Whatever people do in whatever order, everybody who follows along ends up knowing what a newcomer is told.

For each follower: initial sync and incremental syncs equal a fresh initial sync; no event comes twice, and none is
missed; and what they see is what history visibility allows.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from homeserver.ids import RoomID
from tests.fixtures.databases import Engine, PostgresServer, SqliteEngine, schema_image
from tests.fixtures.reactor import VirtualReactor
from tests.harness.client_state import KnownRoom
from tests.harness.server import Server
from tests.harness.user import User
from tests.simulation.acts import Act, Stage, acts
from tests.simulation.visibility_oracle import Event, visible_to

PLAYS = int(os.environ.get("HEARTH_SIMULATED_PLAYS", "15"))

# How each of the followers asks; the last two learn only of members who speak.
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"filter": json.dumps({"room": {"timeline": {"limit": 2}}})},
    {"filter": json.dumps({"room": {"state": {"lazy_load_members": True}}})},
    {"filter": json.dumps({"room": {"state": {"lazy_load_members": True}}}), "use_state_after": True},
)


class Follower(User):
    """Somebody who follows in one way, and writes down every event that arrives in a timeline."""

    way: dict[str, Any]
    arrived: dict[str, list[str]]

    def follows(self, way: dict[str, Any]) -> None:
        self.way = way
        self.arrived = {}

    async def syncs(self, *, timeout_ms: int = 0, since: str | None = None, **query: Any) -> dict[str, Any]:
        before = self.client.since
        answer = await super().syncs(timeout_ms=timeout_ms, since=since, **self.way, **query)
        for room_id, section in answer.get("rooms", {}).get("join", {}).items():
            timeline = section["timeline"]
            events = [event["event_id"] for event in timeline["events"]]
            if timeline["limited"] and before is not None:
                events = await self._fill(room_id, timeline["prev_batch"], before) + events
            self.arrived.setdefault(room_id, []).extend(events)
        for room_id, section in answer.get("rooms", {}).get("leave", {}).items():
            events = [event["event_id"] for event in section["timeline"]["events"]]
            self.arrived.setdefault(room_id, []).extend(events)
        return answer

    async def _fill(self, room_id: str, start: str, since: str) -> list[str]:
        """What a limited timeline left out, as clients fetch it."""
        missed: list[str] = []
        token: str | None = start
        while token is not None:
            page = await self.messages(room_id, from_=token, to=since, limit=50)
            missed += [event["event_id"] for event in page["chunk"]]
            token = page.get("end")
        return missed[::-1]


async def whole_history(user: User, room: str) -> list[Event]:
    """Everything that a user can page through, oldest first."""
    found: list[Event] = []
    token: str | None = None
    while True:
        page = await user.messages(room, from_=token, limit=100)
        found += page["chunk"]
        token = page.get("end")
        if token is None:
            return found[::-1]


def essence(room: KnownRoom, *, lazy: bool) -> dict[str, Any]:
    """What two clients must agree on; lazy ones know fewer members."""
    state = {
        key: event["event_id"] for key, event in room.state.items() if not lazy or key[0] != "m.room.member"
    }
    return {
        "membership": room.membership,
        "state": state,
        "account data": room.account_data,
        "receipts": room.receipts,
        "typing": sorted(room.typing),
        "unread": (room.notification_count, room.highlight_count),
    }


def is_end_of(short: list[str], long: list[str]) -> bool:
    return not short or long[-len(short) :] == short


async def check_follower(follower: Follower, fresh: Follower, lazy: bool) -> None:
    """The follower knows what a newly logged-in device is told."""
    known = {room_id: room for room_id, room in follower.client.rooms.items() if room.membership != "leave"}
    told = fresh.client.rooms
    assert known.keys() == told.keys(), (follower, "rooms")
    for room_id, room in told.items():
        mine, theirs = essence(known[room_id], lazy=lazy), essence(room, lazy=lazy)
        assert mine == theirs, (follower, room_id)
        if room.membership != "join":
            continue
        members = {key: event["event_id"] for key, event in room.state.items() if key[0] == "m.room.member"}
        for key, event_id in members.items():
            if key in known[room_id].state:
                assert known[room_id].state[key]["event_id"] == event_id, (follower, room_id, key)
        shown = [event["event_id"] for event in room.timeline]
        assert is_end_of(shown[-2:], follower.arrived[room_id]), (follower, room_id, "the last events")
    assert follower.client.account_data == fresh.client.account_data, follower


async def check_history(people: list[Follower], rooms: list[RoomID], director: User) -> None:
    """Nobody sees what they may not, and everybody what they may."""
    for room in rooms:
        history = await whole_history(director, room)
        order = {event["event_id"]: number for number, event in enumerate(history)}
        for user in people:
            allowed = visible_to(user.user_id, history)
            arrived = user.arrived.get(room, [])
            twice = [event_id for event_id, count in Counter(arrived).items() if count > 1]
            membership = user.room(room).membership
            assert not set(arrived) - set(order), (user, room, "events from nowhere")
            ignored = set(user.client.account_data.get("m.ignored_user_list", {}).get("ignored_users", {}))
            member_events = {e["event_id"] for e in history if e.get("state_key") == user.user_id}
            assert not set(arrived) - set(allowed) - member_events, (user, room, "not theirs to see")
            if membership != "join" or ignored:
                continue
            paged = [event["event_id"] for event in await whole_history(user, room)]
            assert paged == allowed, (user, room, "pages")
            assert not twice or len(paged) != len(set(paged)) or _rejoined(user, history), (user, room, twice)


def _rejoined(user: User, history: list[Event]) -> bool:
    """Whether the user came more than once: the second time, earlier events may come along again."""
    joins = 0
    inside = False
    for event in history:
        if event["type"] == "m.room.member" and event["state_key"] == user.user_id:
            is_join = event["content"]["membership"] == "join"
            joins += is_join and not inside
            inside = is_join
    return joins > 1


async def play(server: Server, script: list[Act]) -> None:
    await server.starts()
    director = await server.user("director")
    people: list[Follower] = []
    for number, way in enumerate(WAYS):
        person = await server.user(f"person{number}", as_=Follower)
        person.follows(way)
        people.append(person)
    rooms = [
        await director.creates_room(public=True, inviting=people[1:3], name="one"),
        await director.creates_room(
            version="10", inviting=people[:2], power_level_content_override={"kick": 0}
        ),
    ]
    stage = Stage(server, people, rooms)
    for act in script:
        await stage.perform(act)
    for follower in people:
        await follower.syncs()
        fresh = await server.logs_in(follower, as_=Follower)
        fresh.follows(follower.way)
        await fresh.syncs()
        await check_follower(follower, fresh, lazy="lazy" in follower.way.get("filter", ""))
    await check_history(people, rooms, director)
    await server.stops()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_followers_know_what_newcomers_are_told(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def run(script: list[Act]) -> None:
        reactor = VirtualReactor()
        engine: Engine
        if database == "sqlite":
            path = tmp_path / "play.db"
            for old in tmp_path.glob("play.db*"):
                old.unlink()
            path.write_bytes(schema_image())
            engine = SqliteEngine(str(path))
            reactor.drive(play(Server(reactor, engine), script))
            return
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        lent = postgres.lend()
        try:
            reactor.drive(play(Server(reactor, lent), script))
        finally:
            postgres.take_back(lent)

    @settings(
        max_examples=PLAYS if database == "sqlite" else max(1, PLAYS // 3),
        deadline=None,
        database=None,
        # The same plays every time, unless somebody asks for more of them.
        derandomize="HEARTH_SIMULATED_PLAYS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(acts)
    def all_plays_end_well(script: list[Act]) -> None:
        run(script)

    all_plays_end_well()
