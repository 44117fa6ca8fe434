"""Auth chains differ where sets say that they do, and little of them is walked to find it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.auth_chain import auth_chain, auth_difference, climb, conflicted_subgraph
from homeserver.events.room_versions import V11, V12
from homeserver.events.state_res import separate
from homeserver.ids import EventID
from tests.unit.events.forked_rooms import (
    USERS,
    ForkedRoom,
    forked_rooms,
    forks_of,
    naive_auth_difference,
    with_members,
)

rooms = st.sampled_from((V11, V12)).flatmap(forked_rooms)


def chain_of(room: ForkedRoom, event_id: EventID) -> set[EventID]:
    """The auth chain, by recursion."""
    parents = room.events[event_id].auth_events
    return set(parents).union(*(chain_of(room, parent) for parent in parents))


@given(rooms, st.data())
def test_the_auth_chain(room: ForkedRoom, data: st.DataObject) -> None:
    for event_id in data.draw(st.lists(st.sampled_from(list(room.events)), max_size=3)):
        assert auth_chain([event_id], room.load).keys() == chain_of(room, event_id)


@given(rooms, st.data())
def test_the_auth_difference_is_union_minus_intersection(room: ForkedRoom, data: st.DataObject) -> None:
    forks = forks_of(room, data)
    rank = data.draw(st.none() | st.just(room.rank.__getitem__))
    found = auth_difference([set(fork.values()) for fork in forks], room.load, rank=rank)
    assert found == naive_auth_difference(room, forks)


@given(rooms, st.data())
def test_the_subgraph_is_everything_on_paths_between_conflicted_events(
    room: ForkedRoom, data: st.DataObject
) -> None:
    _, conflicts = separate(forks_of(room, data))
    conflicted = {event_id for event_ids in conflicts.values() for event_id in event_ids}
    rank = data.draw(st.none() | st.just(room.rank.__getitem__))
    above = {event_id: {event_id} | chain_of(room, event_id) for event_id in room.events}
    expected = {
        event_id
        for event_id in room.events
        if above[event_id] & conflicted and any(event_id in above[end] for end in conflicted)
    }
    assert conflicted_subgraph(conflicted, room.load, rank=rank) == expected


@given(rooms, st.data())
def test_climbing_finds_somebody_above_wherever_there_is(room: ForkedRoom, data: st.DataObject) -> None:
    state = room.state_after[data.draw(st.sampled_from(list(room.events)))]
    asked = data.draw(st.lists(st.sampled_from(list(room.events)), unique=True))
    found = climb(asked, lambda event_id: room.cited_by.get(event_id, ()), state.get)
    assert found <= set(state.values())
    reached = set[EventID]().union(*(chain_of(room, event_id) for event_id in found))
    for event_id in asked:
        assert (event_id in reached) is any(event_id in chain_of(room, above) for above in state.values())


def test_the_walk_stops_where_the_chains_meet() -> None:
    room, latest = with_members(V11)
    for number in range(200):
        latest = room.add(
            (latest,), "m.room.member", USERS[1], USERS[1], {"membership": "join", "displayname": str(number)}
        )
    renamed = {"membership": "join", "displayname": "x"}
    heads = [room.add((latest,), "m.room.member", user, user, renamed) for user in USERS[1:3]]
    forks = [set(room.state_after[head].values()) for head in heads]
    room.loads.clear()
    assert auth_difference(forks, room.load, rank=room.rank.__getitem__) == set(heads)
    assert len(room.loads) < 20
