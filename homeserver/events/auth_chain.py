"""Auth chains and how they differ, found without walking more of them than the difference needs.

Marks flow from events to their auth events: a mark says which forks reach an event. A walk goes from the
newest event down; below an event that every fork reaches there is nothing to learn, so it stops where the
chains meet. "Newest" needs an order in which every event comes after its auth events. Depth is not one, since
senders may lie about it; the order in which we accepted events is.

An event counts as part of its own chain. So an event that stands in every fork is never part of their
difference, whether or not another event there cites it.
Spec: https://spec.matrix.org/v1.19/rooms/v2/#definitions
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from heapq import heappop, heappush

from homeserver.events.event import Event
from homeserver.ids import EventID, StateKey

LoadEvents = Callable[[Collection[EventID]], Mapping[EventID, Event]]
"""Answers the events of these IDs; one that we do not have is left out, and then counts for nothing."""

StateLookup = Callable[[StateKey], EventID | None]
"""Answers the event that stands under a key, as `dict.get` does."""

Rank = Callable[[EventID], int]
"""Answers an event's place in an order in which each event comes after its auth events."""

FindAbove = Callable[[Collection[EventID]], Iterable[EventID]]
"""Answers unconflicted events: for each given event that some of them reach, at least one that does."""

_BATCH = 64


class AuthGraph:
    """Events and their auth events, each loaded once and in batches."""

    def __init__(self, load: LoadEvents) -> None:
        self._load = load
        self._events: dict[EventID, Event | None] = {}

    def __contains__(self, event_id: EventID) -> bool:
        """Whether the event needs no loading."""
        return event_id in self._events

    def fetch(self, event_ids: Iterable[EventID]) -> None:
        """Have these events at hand."""
        missing = {event_id for event_id in event_ids if event_id not in self._events}
        if missing:
            loaded = self._load(missing)
            for event_id in missing:
                self._events[event_id] = loaded.get(event_id)

    def find(self, event_id: EventID) -> Event | None:
        if event_id not in self._events:
            self.fetch((event_id,))
        return self._events[event_id]

    def find_all(self, event_ids: Collection[EventID]) -> list[Event]:
        """Those of the events that we have."""
        self.fetch(event_ids)
        found = (self._events[event_id] for event_id in event_ids)
        return [event for event in found if event is not None]

    def parents(self, event: Event) -> list[Event]:
        """The event's auth events."""
        return self.find_all(event.auth_events)


def auth_chain(event_ids: Iterable[EventID], load: LoadEvents) -> dict[EventID, Event]:
    """The auth events of these events, theirs and so on: the union of their auth chains.

    The events themselves are not part of it, unless one cites the other.
    """
    graph = AuthGraph(load)
    chain: dict[EventID, Event] = {}
    level = graph.find_all(list(event_ids))
    while level:
        new = {parent_id for event in level for parent_id in event.auth_events} - chain.keys()
        level = graph.find_all(new)
        chain.update((event.event_id, event) for event in level)
    return chain


def auth_difference(
    forks: Sequence[Collection[EventID]], load: LoadEvents | AuthGraph, *, rank: Rank | None = None
) -> set[EventID]:
    """The events that the chains of some forks have and those of others lack.

    A fork is all of its state events, and every one is looked at; for large rooms see
    `auth_difference_of_conflict`.
    """
    walk = _Walk(_graph(load), len(forks), rank)
    for place, fork in enumerate(forks):
        for event_id in fork:
            walk.reach(event_id, 1 << place)
    walk.run()
    return set(walk.different)


def auth_difference_of_conflict(
    conflicted: Sequence[Set[EventID]],
    unconflicted: StateLookup,
    find_above: FindAbove,
    load: LoadEvents | AuthGraph,
    *,
    rank: Rank | None = None,
) -> set[EventID]:
    """What `auth_difference` finds, whatever the size of the room: of each fork it takes the conflicted part.

    What unconflicted events reach is in every chain. Most often an old membership or power level is reached
    from the one that stands under the same key now; `find_above` is asked about what then remains.
    """
    walk = _Walk(_graph(load), len(conflicted), rank, unconflicted)
    for place, fork in enumerate(conflicted):
        for event_id in fork:
            walk.reach(event_id, 1 << place)
    walk.run()
    everything_conflicted = frozenset[EventID]().union(*conflicted)
    doubtful = walk.different - everything_conflicted
    if doubtful:
        for event_id in find_above(doubtful):
            walk.reach(event_id, walk.everyone)
        walk.run()
    return set(walk.different)


def climb(
    event_ids: Collection[EventID], cited_by: Callable[[EventID], Iterable[Event]], unconflicted: StateLookup
) -> set[EventID]:
    """What `FindAbove` asks for, by climbing from citation to citation.

    `cited_by` answers the events that cite an event, of which only state events matter. Of the unconflicted
    events above each event this answers the first that it meets.
    """
    found: set[EventID] = set()
    below_none: set[EventID] = set()
    for event_id in event_ids:
        if event_id in below_none:
            continue
        seen, stack, hit = {event_id}, [event_id], False
        while stack and not hit:
            for event in cited_by(stack.pop()):
                if event.key is not None and unconflicted(event.key) == event.event_id:
                    found.add(event.event_id)
                    hit = True
                    break
                if event.event_id not in seen and event.event_id not in below_none:
                    seen.add(event.event_id)
                    stack.append(event.event_id)
        if not hit:
            below_none |= seen
    return found


def conflicted_subgraph(
    conflicted: Set[EventID], load: LoadEvents | AuthGraph, *, rank: Rank | None = None
) -> set[EventID]:
    """The events on the paths of auth events between any two conflicted events, those at the ends included.

    Spec: https://spec.matrix.org/v1.19/rooms/v12/#definitions
    """
    graph = _graph(load)
    cited_by: dict[EventID, set[EventID]] = {}
    seen = set(conflicted)
    # Nothing that we accepted before the oldest conflicted event can lead to one.
    floor = min(map(rank, conflicted)) if rank is not None and conflicted else 0
    level = graph.find_all(conflicted)
    while level:
        below: set[EventID] = set()
        for event in level:
            for parent_id in event.auth_events:
                if rank is None or rank(parent_id) >= floor:
                    cited_by.setdefault(parent_id, set()).add(event.event_id)
                    below.add(parent_id)
        level = graph.find_all(below - seen)
        seen |= below
    # Back up from the conflicted events, over what was met on the way down.
    subgraph: set[EventID] = set()
    stack = list(conflicted)
    while stack:
        event_id = stack.pop()
        if event_id not in subgraph:
            subgraph.add(event_id)
            stack.extend(cited_by.get(event_id, ()))
    return subgraph


def _graph(load: LoadEvents | AuthGraph) -> AuthGraph:
    return load if isinstance(load, AuthGraph) else AuthGraph(load)


class _Walk:
    """Marks flowing down the auth graph until nothing can change.

    `different` holds the events met that not every fork is known to reach. Marks only grow, and an event is
    taken again when its mark has grown: the order in which events are taken changes only the work.
    """

    def __init__(
        self, graph: AuthGraph, forks: int, rank: Rank | None, unconflicted: StateLookup | None = None
    ) -> None:
        self.everyone = (1 << forks) - 1
        self.different: set[EventID] = set()
        self._graph = graph
        self._rank = rank
        self._unconflicted = unconflicted
        self._marks: dict[EventID, int] = {}
        self._asked: set[StateKey] = set()
        self._newest: list[tuple[int, EventID]] = []
        self._oldest_different: list[tuple[int, EventID]] = []

    def reach(self, event_id: EventID, mark: int) -> None:
        """These forks reach the event."""
        before = self._marks.get(event_id, 0)
        after = before | mark
        if after == before:
            return
        self._marks[event_id] = after
        rank = self._rank(event_id) if self._rank is not None else 0
        heappush(self._newest, (-rank, event_id))
        if after == self.everyone:
            self.different.discard(event_id)
        elif not before:
            self.different.add(event_id)
            if self._rank is not None:
                heappush(self._oldest_different, (rank, event_id))

    def run(self) -> None:
        while self._newest:
            rank, event_id = heappop(self._newest)
            # Below the oldest event of the difference there is nothing to learn from what everybody reaches.
            if self._rank is not None and event_id not in self.different and -rank <= self._floor():
                continue
            if event_id not in self._graph:
                self._graph.fetch([event_id, *(pending for _, pending in self._newest[:_BATCH])])
            event = self._graph.find(event_id)
            if event is not None:
                self._take(event)

    def _floor(self) -> int:
        """The rank of the oldest event of the difference."""
        while self._oldest_different and self._oldest_different[0][1] not in self.different:
            heappop(self._oldest_different)
        return self._oldest_different[0][0] if self._oldest_different else 1 << 63

    def _take(self, event: Event) -> None:
        mark = self._marks[event.event_id]
        key = event.key
        if (
            mark != self.everyone
            and key is not None
            and self._unconflicted is not None
            and key not in self._asked
        ):
            self._asked.add(key)
            standing = self._unconflicted(key)
            if standing is not None:
                self.reach(standing, self.everyone)
                mark = self._marks[event.event_id]
        for parent_id in event.auth_events:
            self.reach(parent_id, mark)
