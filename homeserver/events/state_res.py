"""State resolution: which state follows from forks that disagree.

The answer depends on the events alone, never on the order in which forks or events came, so that every server
of the room arrives at the same. Nothing here walks the whole state: the work grows with the disagreement.
Spec: https://spec.matrix.org/v1.19/rooms/v2/#state-resolution and
https://spec.matrix.org/v1.19/rooms/v12/#state-resolution
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from homeserver.errors import AuthRejected
from homeserver.events.auth_chain import (
    AuthGraph,
    LoadEvents,
    Rank,
    StateLookup,
    auth_difference,
    conflicted_subgraph,
)
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event, create_id_of_room
from homeserver.events.power_levels import CREATE, POWER_LEVELS, PowerLevels, creators_of
from homeserver.events.room_versions import RoomVersion, StateResolution
from homeserver.events.state_res_v1 import resolve_conflicted_v1
from homeserver.ids import EventID, StateKey

Conflicted = Mapping[StateKey, Collection[EventID]]
"""The keys on which forks disagree, with every event that some fork has there."""


def resolve(
    state_sets: Sequence[Mapping[StateKey, EventID]],
    load: LoadEvents,
    version: RoomVersion,
    *,
    rejected: Container[EventID] = (),
    rank: Rank | None = None,
) -> dict[StateKey, EventID]:
    """The resolution of whole state maps; `resolve_conflicted` does as much for large rooms with less."""
    unconflicted, conflicted = separate(state_sets)
    if not conflicted:
        return unconflicted
    graph = AuthGraph(load)
    difference: set[EventID] = set()
    if version.state_resolution is not StateResolution.V1:
        difference = auth_difference([set(state.values()) for state in state_sets], graph, rank=rank)
    resolved = resolve_conflicted(
        unconflicted.get, conflicted, difference, graph, version, rejected=rejected, rank=rank
    )
    return {**unconflicted, **resolved}


def separate(
    state_sets: Sequence[Mapping[StateKey, EventID]],
) -> tuple[dict[StateKey, EventID], dict[StateKey, set[EventID]]]:
    """The unconflicted state map, and the conflicted state set by key."""
    unconflicted: dict[StateKey, EventID] = {}
    conflicted: dict[StateKey, set[EventID]] = {}
    for key in {key for state in state_sets for key in state}:
        values = {state.get(key) for state in state_sets}
        events = {event_id for event_id in values if event_id is not None}
        if len(values) == 1:
            unconflicted[key] = events.pop()
        else:
            conflicted[key] = events
    return unconflicted, conflicted


def resolve_conflicted(
    unconflicted: StateLookup,
    conflicted: Conflicted,
    difference: Collection[EventID],
    load: LoadEvents | AuthGraph,
    version: RoomVersion,
    *,
    rejected: Container[EventID] = (),
    rank: Rank | None = None,
) -> dict[StateKey, EventID]:
    """What the resolved state has beyond the unconflicted state map; it may lack conflicted keys.

    `unconflicted` may be the lookup of any one fork: it is not asked about conflicted keys. `difference` is
    the auth difference of the forks (not needed in room version 1). `rejected` says which auth events were
    rejected. With a `rank` less of the auth chains is walked.
    """
    graph = load if isinstance(load, AuthGraph) else AuthGraph(load)

    def standing(key: StateKey) -> EventID | None:
        return None if key in conflicted else unconflicted(key)

    if version.state_resolution is StateResolution.V1:
        return resolve_conflicted_v1(standing, conflicted, graph)
    return _Resolution(graph, standing, version, rejected).resolve(conflicted, difference, rank)


class _Resolution:
    """One run of algorithm 2 or 2.1; `resolved` is what the iterative auth checks have built so far."""

    def __init__(
        self, graph: AuthGraph, unconflicted: StateLookup, version: RoomVersion, rejected: Container[EventID]
    ) -> None:
        self._graph = graph
        self._unconflicted = unconflicted
        self._version = version
        self._rejected = rejected
        self._is_2_1 = version.state_resolution is StateResolution.V2_1
        self.resolved: dict[StateKey, Event] = {}

    def resolve(
        self, conflicted: Conflicted, difference: Collection[EventID], rank: Rank | None
    ) -> dict[StateKey, EventID]:
        conflicted_ids = frozenset(event_id for event_ids in conflicted.values() for event_id in event_ids)
        full = set(difference) | conflicted_ids
        if self._is_2_1:
            full |= conflicted_subgraph(conflicted_ids, self._graph, rank=rank)
        events = {event.event_id: event for event in self._graph.find_all(full) if event.key is not None}
        self._graph.fetch({parent_id for event in events.values() for parent_id in event.auth_events})
        # 1. Power events, and what authorises them, from the earliest on.
        power_events = with_parents_among(filter(is_power_event, events.values()), events)
        # 2. Those that are allowed make a partial state.
        self.check_iteratively(self.power_order(power_events))
        # 3. The rest, by the power levels that they are based on.
        remaining = [event for event_id, event in events.items() if event_id not in power_events]
        # 4. Those that are allowed complete the state.
        self.check_iteratively(self.mainline_order(remaining))
        # 5. What was not in conflict stays as it was.
        return {
            key: event.event_id for key, event in self.resolved.items() if self._unconflicted(key) is None
        }

    def check_iteratively(self, events: Iterable[Event]) -> None:
        """The iterative auth checks algorithm: each event that `resolved` allows becomes part of it."""
        for event in events:
            try:
                check_event_auth(event, self._auth_state(event))
            except AuthRejected:
                continue
            assert event.key is not None
            self.resolved[event.key] = event

    def power_order(self, events: Mapping[EventID, Event]) -> list[Event]:
        """The reverse topological power ordering: parents first, then by power, time and event ID."""
        waiting: dict[EventID, int] = {}
        children: dict[EventID, list[EventID]] = {}
        for event_id, event in events.items():
            parents = [parent_id for parent_id in set(event.auth_events) if parent_id in events]
            waiting[event_id] = len(parents)
            for parent_id in parents:
                children.setdefault(parent_id, []).append(event_id)
        order: list[Event] = []
        ready = [self._power_key(events[event_id]) for event_id, count in waiting.items() if not count]
        heapify(ready)
        while ready:
            event_id = heappop(ready)[-1]
            order.append(events[event_id])
            for child_id in children.get(event_id, ()):
                waiting[child_id] -= 1
                if not waiting[child_id]:
                    heappush(ready, self._power_key(events[child_id]))
        return order

    def mainline_order(self, events: Iterable[Event]) -> list[Event]:
        """The mainline ordering: those based on earlier power levels first, then by time and event ID."""
        mainline = _Mainline(self._graph, self._standing(POWER_LEVELS))
        keyed = [
            (-mainline.position(event), event.origin_server_ts, event.event_id, event) for event in events
        ]
        return [item[-1] for item in sorted(keyed, key=lambda item: item[:3])]

    def _power_key(self, event: Event) -> tuple[int, int, EventID]:
        """The power of the event's sender, as its own auth events have it; more comes first."""
        power_event = create = None
        for parent in self._graph.parents(event):
            if parent.key == POWER_LEVELS:
                power_event = parent
            elif parent.key == CREATE:
                create = parent
        if self._version.room_id_is_create_event_id:
            create = self._graph.find(create_id_of_room(event.room_id))
        creators = frozenset[str]() if create is None else creators_of(create)
        levels = PowerLevels(None if power_event is None else power_event.content, creators, self._version)
        return -levels.user(event.sender), event.origin_server_ts, event.event_id

    def _standing(self, key: StateKey) -> Event | None:
        """What the state has under `key` by now; it began unconflicted (2) or empty (2.1)."""
        event = self.resolved.get(key)
        if event is None and not self._is_2_1:
            event_id = self._unconflicted(key)
            event = None if event_id is None else self._graph.find(event_id)
        return event

    def _auth_state(self, event: Event) -> dict[StateKey, Event]:
        """The state that the auth rules read to judge `event`.

        Where the state has nothing yet, the event's own auth events speak, unless they were rejected.
        """
        cited = {
            parent.key: parent
            for parent in self._graph.parents(event)
            if parent.key is not None and parent.event_id not in self._rejected
        }
        keys = auth_keys(event.type, event.sender, event.state_key, event.content, self._version)
        state = {key: found for key in keys if (found := self._standing(key) or cited.get(key)) is not None}
        if self._version.room_id_is_create_event_id:
            create = self._graph.find(create_id_of_room(event.room_id))
            if create is not None and create.event_id not in self._rejected:
                state[CREATE] = create
        return state


def is_power_event(event: Event) -> bool:
    """Whether the event might take away somebody's ability to do something."""
    if event.type in ("m.room.power_levels", "m.room.join_rules"):
        return event.state_key is not None
    return (
        event.type == "m.room.member"
        and event.sender != event.state_key
        and event.content.get("membership") in ("leave", "ban")
    )


def with_parents_among(events: Iterable[Event], among: Mapping[EventID, Event]) -> dict[EventID, Event]:
    """The events, and those of `among` that are reached from them over auth events of `among`."""
    found: dict[EventID, Event] = {}
    stack = list(events)
    while stack:
        event = stack.pop()
        if event.event_id not in found:
            found[event.event_id] = event
            stack.extend(among[parent_id] for parent_id in event.auth_events if parent_id in among)
    return found


class _Mainline:
    """The line of power levels that leads to `tip`, walked only as far as somebody asks."""

    FAR = 1 << 62
    """The position of events that are not based on the mainline."""

    def __init__(self, graph: AuthGraph, tip: Event | None) -> None:
        self._graph = graph
        self._next = tip
        self._positions: dict[EventID, int] = {}
        self._closest: dict[EventID, int] = {}

    def position(self, event: Event) -> int:
        """Where the first power levels that `event` is based on, other than itself, lie on the mainline."""
        path: list[EventID] = []
        base = self._power_levels_of(event)
        position = self.FAR
        while base is not None:
            if base.event_id in self._closest:
                position = self._closest[base.event_id]
                break
            if self._is_on_mainline(base.event_id):
                position = self._positions[base.event_id]
                break
            self._closest[base.event_id] = self.FAR
            path.append(base.event_id)
            base = self._power_levels_of(base)
        self._closest.update(dict.fromkeys(path, position))
        return position

    def _is_on_mainline(self, event_id: EventID) -> bool:
        while event_id not in self._positions and self._next is not None:
            self._positions[self._next.event_id] = len(self._positions)
            self._next = self._power_levels_of(self._next)
            # Event IDs that are not hashes could be made to cite one another in a circle.
            if self._next is not None and self._next.event_id in self._positions:
                self._next = None
        return event_id in self._positions

    def _power_levels_of(self, event: Event) -> Event | None:
        return next((parent for parent in self._graph.parents(event) if parent.key == POWER_LEVELS), None)
