"""State resolution says what the specification says, blind to order, and looks at little."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import AuthRejected
from homeserver.events.auth_chain import auth_chain, auth_difference_of_conflict, climb
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event
from homeserver.events.power_levels import CREATE, POWER_LEVELS, PowerLevels
from homeserver.events.room_versions import V1, V2, V6, V10, V11, V12, RoomVersion
from homeserver.events.state_res import resolve, resolve_conflicted, separate
from homeserver.ids import EventID, UserID
from tests.unit.events.forked_rooms import (
    CREATOR,
    USERS,
    ForkedRoom,
    State,
    forked_rooms,
    forks_of,
    naive_auth_difference,
    with_members,
)

VERSIONS = (V1, V2, V6, V11, V12)
rooms = st.sampled_from(VERSIONS).flatmap(forked_rooms)
modern_rooms = st.sampled_from((V2, V6, V11, V12)).flatmap(forked_rooms)


@given(rooms, st.data())
def test_the_order_of_forks_does_not_matter(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    shuffled = data.draw(st.permutations(forks))
    assert resolve(forks, room.load, room.version) == resolve(shuffled, room.load, room.version)


@given(rooms, st.data())
def test_agreement_is_kept(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    assert resolve([forks[0]], room.load, room.version) == forks[0]
    assert resolve([forks[0], forks[0]], room.load, room.version) == forks[0]
    agreed = {
        key: event_id
        for key, event_id in forks[0].items()
        if all(fork.get(key) == event_id for fork in forks)
    }
    assert agreed.items() <= resolve(forks, room.load, room.version).items()


@given(rooms, st.data())
def test_servers_that_hear_of_events_in_any_order_agree(room: ForkedRoom, data: st.DataObject) -> None:
    """Each server sees parents before children, as the gate for inbound events makes sure; else any order."""
    states: dict[EventID, State] = {}
    waiting = dict(room.events)
    while waiting:
        ready = [event for event in waiting.values() if all(prev in states for prev in event.prev_events)]
        event = data.draw(st.sampled_from(ready))
        del waiting[event.event_id]
        prevs = data.draw(st.permutations([states[prev] for prev in event.prev_events]))
        assert event.key is not None
        states[event.event_id] = {**resolve(prevs, room.load, room.version), event.key: event.event_id}
    assert states == room.state_after


@given(modern_rooms, st.data())
def test_the_small_way_arrives_where_the_long_way_does(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    unconflicted, conflicted = separate(forks)
    rank = data.draw(st.none() | st.just(room.rank.__getitem__))
    parts = [{fork[key] for key in conflicted if key in fork} for fork in forks]
    difference = auth_difference_of_conflict(
        parts,
        unconflicted.get,
        lambda doubtful: climb(doubtful, lambda event_id: room.cited_by.get(event_id, ()), unconflicted.get),
        room.load,
        rank=rank,
    )
    assert difference - set().union(*parts) == naive_auth_difference(room, forks) - set().union(*parts)
    resolved = resolve_conflicted(forks[0].get, conflicted, difference, room.load, room.version, rank=rank)
    assert {**unconflicted, **resolved} == resolve(forks, room.load, room.version)


@given(modern_rooms, st.data())
def test_it_is_the_algorithm_of_the_specification(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    assert resolve(forks, room.load, room.version) == NaiveResolution(room).resolve(forks)


class NaiveResolution:
    """The text of the specification with no thought for cost."""

    def __init__(self, room: ForkedRoom) -> None:
        self.room = room
        self.events = room.events
        self.is_2_1 = room.version is V12

    def chain(self, event_id: EventID) -> set[EventID]:
        return set(auth_chain([event_id], self.room.load))

    def resolve(self, forks: Sequence[State]) -> State:
        keys = {key for fork in forks for key in fork}
        unconflicted = {key: forks[0][key] for key in keys if len({fork.get(key) for fork in forks}) == 1}
        conflicted = {fork[key] for fork in forks for key in fork if key not in unconflicted}
        full = conflicted | naive_auth_difference(self.room, forks)
        if self.is_2_1:
            full |= {
                between
                for end in conflicted
                for between in self.chain(end)
                if conflicted & (self.chain(between) | {between})
            }
        power = {event_id for event_id in full if self.is_power_event(self.events[event_id])}
        power |= {event_id for event in power for event_id in self.chain(event) & full}
        partial = self.check(self.power_order(power), {} if self.is_2_1 else unconflicted)
        rest = self.mainline_order(full - power, partial.get(POWER_LEVELS))
        return {**self.check(rest, partial), **unconflicted}

    def is_power_event(self, event: Event) -> bool:
        if event.type == "m.room.member":
            return event.content["membership"] in ("leave", "ban") and event.sender != event.state_key
        return event.type in ("m.room.power_levels", "m.room.join_rules")

    def power_order(self, event_ids: Collection[EventID]) -> list[EventID]:
        left, order = set(event_ids), list[EventID]()
        while left:
            ready = [event_id for event_id in left if not self.chain(event_id) & left]
            order.append(min(ready, key=self.power_key))
            left.remove(order[-1])
        return order

    def power_key(self, event_id: EventID) -> tuple[int, int, str]:
        event = self.events[event_id]
        cited = {self.events[parent].key: self.events[parent] for parent in event.auth_events}
        levels = PowerLevels.of(cited.get(POWER_LEVELS), self.events[self.room.root], self.room.version)
        return -levels.user(event.sender), event.origin_server_ts, event_id

    def base(self, event_id: EventID) -> EventID | None:
        for parent in self.events[event_id].auth_events:
            if self.events[parent].key == POWER_LEVELS:
                return parent
        return None

    def mainline_order(self, event_ids: Collection[EventID], tip: EventID | None) -> list[EventID]:
        mainline: list[EventID | None] = []
        while tip is not None:
            mainline.append(tip)
            tip = self.base(tip)

        def sort_key(event_id: EventID) -> tuple[float, int, str]:
            base = self.base(event_id)
            while base is not None and base not in mainline:
                base = self.base(base)
            position = float("inf") if base is None else mainline.index(base)
            return -position, self.events[event_id].origin_server_ts, event_id

        return sorted(event_ids, key=sort_key)

    def check(self, event_ids: Sequence[EventID], state: State) -> State:
        state = dict(state)
        for event_id in event_ids:
            event = self.events[event_id]
            cited = {self.events[parent].key: parent for parent in event.auth_events}
            keys = auth_keys(event.type, event.sender, event.state_key, event.content, self.room.version)
            auth_state = {
                key: self.events[state.get(key) or cited[key]] for key in keys if key in state or key in cited
            }
            if self.is_2_1:
                auth_state[CREATE] = self.events[self.room.root]
            try:
                check_event_auth(event, auth_state)
            except AuthRejected:
                continue
            assert event.key is not None
            state[event.key] = event_id
        return state


# What people do at the same time.


@pytest.mark.parametrize("version", [V2, V11, V12])
def test_a_ban_beats_what_the_banned_does_meanwhile(version: RoomVersion) -> None:
    room, latest = with_members(version)
    moderator, victim = USERS[1], USERS[2]
    users = {} if version.creators_are_almighty else {CREATOR: 100}
    levels = {"users": {**users, moderator: 50}, "events": {"m.room.topic": 0}}
    latest = room.add((latest,), "m.room.power_levels", "", CREATOR, levels)
    ban = room.add((latest,), "m.room.member", victim, moderator, {"membership": "ban"}, ts=9)
    topic = room.add((latest,), "m.room.topic", "", victim, {"topic": "I am"}, ts=1)
    rename = room.add(
        (topic,), "m.room.member", victim, victim, {"membership": "join", "displayname": "x"}, ts=2
    )
    state = room.state_before((ban, rename))
    assert state["m.room.member", victim] == ban
    assert ("m.room.topic", "") not in state


@pytest.mark.parametrize("version", [V1, V2, V11, V12])
def test_the_more_powerful_demotion_wins(version: RoomVersion) -> None:
    room, latest = with_members(version)
    moderator = USERS[1]
    users = {} if version.creators_are_almighty else {CREATOR: 100}
    demotion = room.add(
        (latest,), "m.room.power_levels", "", CREATOR, {"users": {**users, moderator: 0}}, ts=9
    )
    promotion = room.add(
        (latest,),
        "m.room.power_levels",
        "",
        moderator,
        {"users": {**users, moderator: 50, USERS[2]: 50}},
        ts=1,
    )
    state = room.state_before((demotion, promotion))
    expected = (
        {demotion} if version is not V1 else {demotion, promotion}
    )  # version 1 goes by depth and a hash
    assert state[POWER_LEVELS] in expected


def test_a_rejected_auth_event_is_not_relied_on() -> None:
    room, latest = with_members(V11)
    user = USERS[2]
    name = {"membership": "join", "displayname": "x"}
    left = room.add((latest,), "m.room.member", user, user, name, ts=1)
    right = room.add((latest,), "m.room.member", user, user, {**name, "displayname": "y"}, ts=2)
    forks = [room.state_after[left], room.state_after[right]]
    assert resolve(forks, room.load, V11)["m.room.member", user] == right
    public = room.state_after[room.start]["m.room.join_rules", ""]
    forks = [{key: value for key, value in fork.items() if key[0] != "m.room.join_rules"} for fork in forks]
    resolved = resolve(forks, room.load, V11)
    assert resolved["m.room.member", user] == right
    member = room.state_after[latest]["m.room.member", user]
    assert ("m.room.member", user) not in resolve(forks, room.load, V11, rejected={public, member})


def big_room(version: RoomVersion, members: int, changes: int) -> tuple[ForkedRoom, list[State]]:
    room = ForkedRoom(version)
    latest, state = room.start, dict(room.state_after[room.start])
    for n in range(members):
        user = UserID(f"@member{n}:big")
        room.state_after[latest] = state  # shared from here on, so that the test room stays small
        latest = room.add((latest,), "m.room.member", user, user, {"membership": "join"}, ts=n)
        del room.state_after[room.events[latest].prev_events[0]]
        state = room.state_after[latest]
    room.state_after[latest] = state
    forks = []
    for branch in range(2):
        head = latest
        for n in range(changes):
            user = UserID(f"@member{2 * n + branch}:big")
            content = {"membership": "join", "displayname": f"{branch}"}
            head = room.add((head,), "m.room.member", user, user, content, ts=members + n)
        forks.append(room.state_after[head])
    return room, forks


def resolve_cheaply(room: ForkedRoom, forks: Sequence[State]) -> State:
    unconflicted, conflicted = separate(forks)
    rank = room.rank.__getitem__
    difference = auth_difference_of_conflict(
        [{fork[key] for key in conflicted if key in fork} for fork in forks],
        unconflicted.get,
        lambda doubtful: climb(doubtful, lambda event_id: room.cited_by.get(event_id, ()), unconflicted.get),
        room.load,
        rank=rank,
    )
    return resolve_conflicted(unconflicted.get, conflicted, difference, room.load, room.version, rank=rank)


@pytest.mark.parametrize("version", [V10, V12])
def test_the_size_of_the_room_does_not_matter(version: RoomVersion) -> None:
    for members in (100, 1000):
        room, forks = big_room(version, members, 25)
        room.loads.clear()
        assert len(resolve_cheaply(room, forks)) == 50
        assert len(room.loads) <= 200
