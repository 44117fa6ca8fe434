"""State resolution of room version 1."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import AuthRejected
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.event import Event
from homeserver.events.power_levels import POWER_LEVELS
from homeserver.events.room_versions import V1
from homeserver.events.state_res import resolve, separate
from homeserver.ids import EventID, StateKey
from tests.unit.events.forked_rooms import (
    CREATOR,
    USERS,
    ForkedRoom,
    State,
    forked_rooms,
    forks_of,
    with_members,
)


def naive_resolve(room: ForkedRoom, forks: Sequence[State]) -> State:
    """The text of the specification, with a conflict for every key."""
    unconflicted, conflicted = separate(forks)
    result: dict[StateKey, Event] = {key: room.events[event_id] for key, event_id in unconflicted.items()}

    def is_allowed(event: Event, state: dict[StateKey, Event]) -> bool:
        try:
            check_event_auth(event, state)
        except AuthRejected:
            return False
        return True

    def by_age(event_ids: set[EventID]) -> list[Event]:
        def age(event_id: EventID) -> tuple[int, int]:
            return room.events[event_id].depth, -int(sha1(event_id.encode()).hexdigest(), 16)

        return [room.events[event_id] for event_id in sorted(event_ids, key=age)]

    left = dict(conflicted)
    for auth_type in ("m.room.power_levels", "m.room.join_rules", "m.room.member"):
        settled = dict(result)
        for key in [key for key in left if key[0] == auth_type]:
            state = dict(result)
            for number, event in enumerate(by_age(left.pop(key))):
                if number and not is_allowed(event, state):
                    break
                state[key] = settled[key] = event
        result = settled
    for key, event_ids in left.items():
        winner = next((event for event in reversed(by_age(event_ids)) if is_allowed(event, result)), None)
        if winner is not None:
            result[key] = winner
    return {key: event.event_id for key, event in result.items()}


@given(forked_rooms(V1), st.data())
def test_it_is_the_algorithm_of_the_specification(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    assert resolve(forks, room.load, V1) == naive_resolve(room, forks)


def test_of_two_topics_the_deeper_one_stays() -> None:
    room, latest = with_members(V1)
    topics = [
        room.add((latest,), "m.room.topic", "", USERS[1], {"topic": str(depth)}, depth=depth)
        for depth in (8, 30, 9)
    ]
    assert room.state_before(topics)["m.room.topic", ""] == topics[1]


def test_a_topic_that_the_state_does_not_allow_loses() -> None:
    room, latest = with_members(V1)
    demotion = room.add((latest,), "m.room.power_levels", "", CREATOR, {"users": {CREATOR: 100}}, depth=50)
    allowed = room.add((demotion,), "m.room.topic", "", CREATOR, {"topic": "mine"}, depth=1)
    deeper = room.add((latest,), "m.room.topic", "", USERS[1], {"topic": "yours"}, depth=40)
    state = room.state_before((allowed, deeper))
    assert state[POWER_LEVELS] == demotion
    assert state["m.room.topic", ""] == allowed
