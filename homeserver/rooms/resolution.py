"""State resolution over state trees: forks are compared by their difference, and only that is resolved.

Spec: https://spec.matrix.org/v1.19/rooms/v2/#state-resolution
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.events import state_tree
from homeserver.events.auth_chain import AuthGraph, auth_difference_of_conflict, climb
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion, StateResolution
from homeserver.events.state_res import resolve_conflicted
from homeserver.events.state_tree import KeyHash, NodeHash, key_hash
from homeserver.ids import EventID, RoomID, StateKey
from homeserver.rooms.loading import event_of
from homeserver.rooms.state_at import node_loader
from storage import auth_citations
from storage import events as event_rows
from storage.events import EventFlag, EventRow
from storage.transaction import Transaction


@dataclass(slots=True)
class Resolved:
    """A state by the root of its tree, with the nodes of it that may not be stored yet."""

    root: NodeHash
    new_nodes: dict[NodeHash, bytes] = field(default_factory=dict)


ABOUT_TO_BE_STORED = 0
"""The number of the room in rows that are not stored yet: they are of the room at hand."""


class StoredRoom:
    """A room's events and states as one transaction reads them."""

    def __init__(
        self, txn: Transaction, room_id: RoomID, version: RoomVersion, nodes: Mapping[NodeHash, bytes]
    ) -> None:
        self._txn = txn
        self._room = txn.find_interned(room_id) or ABOUT_TO_BE_STORED
        self._version = version
        self.nodes = dict(nodes)
        self.load_node: Callable[[NodeHash], bytes] = node_loader(txn, room_id, self.nodes)
        self._rows: dict[EventID, EventRow] = {}
        self._by_number: dict[int, EventID] = {}
        self._events: dict[EventID, Event] = {}
        self.rejected: set[EventID] = set()

    def rows(self, event_ids: Iterable[EventID]) -> dict[EventID, EventRow]:
        """The stored ones among the events."""
        wanted = list(event_ids)
        missing = [event_id for event_id in wanted if event_id not in self._rows]
        if missing:
            for row in event_rows.by_id(self._txn, missing).values():
                self._keep(row)
        return {event_id: self._rows[event_id] for event_id in wanted if event_id in self._rows}

    def prev_rows(self, event: Event) -> dict[EventID, EventRow]:
        """The stored ones among its prev events. One of another room is none: no state there is a state here."""
        rows = self.rows(event.prev_events)
        own = (self._room, ABOUT_TO_BE_STORED)
        return {event_id: row for event_id, row in rows.items() if row.room in own}

    def events(self, event_ids: Collection[EventID]) -> dict[EventID, Event]:
        """The same, as events."""
        return {event_id: self._event(row) for event_id, row in self.rows(event_ids).items()}

    def events_by_number(self, numbers: Iterable[int]) -> dict[int, Event]:
        wanted = list(numbers)
        missing = [number for number in wanted if number not in self._by_number]
        if missing:
            for row in event_rows.by_number(self._txn, missing).values():
                self._keep(row)
        return {
            number: self._event(self._rows[self._by_number[number]])
            for number in wanted
            if number in self._by_number
        }

    def expect(self, event: Event, number: int) -> None:
        """Know an event that is about to be stored."""
        self._events[event.event_id] = event
        self._by_number[number] = event.event_id
        self._rows[event.event_id] = EventRow(
            number,
            event.event_id,
            ABOUT_TO_BE_STORED,
            None,
            0,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            event.json,
        )

    def add(self, row: EventRow, event: Event) -> None:
        """Know an event at the place that it is about to get."""
        self._events[event.event_id] = event
        self._keep(row)

    def find_state(self, root: NodeHash, key: StateKey) -> Event | None:
        number = state_tree.get(root, key_hash(*key), self.load_node)
        return None if number is None else self.events_by_number([number]).get(number)

    def number_of(self, event_id: EventID) -> int:
        return self.rows([event_id])[event_id].number

    def state_after(self, row: EventRow) -> Resolved | None:
        """The state after a stored event; None if the event is an outlier, whose state nobody knows."""
        if row.state_before is None:
            return None
        event = self._event(row)
        if event.key is None or row.flags & EventFlag.REJECTED:
            return Resolved(row.state_before)
        root, nodes = state_tree.update(row.state_before, {key_hash(*event.key): row.number}, self.load_node)
        self.nodes.update(nodes)
        return Resolved(root, nodes)

    def changes(self, old: NodeHash, new: NodeHash) -> dict[StateKey, Event | None]:
        """What is different in the state `new`; None where it has no such key any more."""
        differing = [(before, after) for _, before, after in state_tree.diff(old, new, self.load_node)]
        events = self.events_by_number({n for pair in differing for n in pair if n is not None})
        changes: dict[StateKey, Event | None] = {}
        for before, after in differing:
            event = events[after] if after is not None else events[before or 0]
            if event.key is not None:
                changes[event.key] = None if after is None else event
        return changes

    def resolve(self, roots: Sequence[NodeHash]) -> Resolved:
        """The state that follows from the states of several forks."""
        roots = list(dict.fromkeys(roots))
        conflicts = state_tree.conflicts(roots, self.load_node)
        if not conflicts:
            return Resolved(roots[0])
        numbers = {number for values in conflicts.values() for number in values if number is not None}
        events = self.events_by_number(numbers)
        conflicted: dict[StateKey, set[EventID]] = {}
        forks: list[set[EventID]] = [set() for _ in roots]
        for values in conflicts.values():
            for place, number in enumerate(values):
                if number is None:
                    continue
                event = events[number]
                if event.key is not None:
                    conflicted.setdefault(event.key, set()).add(event.event_id)
                    forks[place].add(event.event_id)

        def unconflicted(key: StateKey) -> EventID | None:
            if key in conflicted:
                return None
            found = self.find_state(roots[0], key)
            return None if found is None else found.event_id

        graph = AuthGraph(self.events)
        difference: set[EventID] = set()
        if self._version.state_resolution is not StateResolution.V1:

            def find_above(event_ids: Collection[EventID]) -> set[EventID]:
                return climb(event_ids, self._cited_by, unconflicted)

            difference = auth_difference_of_conflict(forks, unconflicted, find_above, graph, rank=self._rank)
        resolved = resolve_conflicted(
            unconflicted,
            conflicted,
            difference,
            graph,
            self._version,
            rejected=self.rejected,
            rank=self._rank,
        )
        changes: dict[KeyHash, int | None] = {key_hash(*key): None for key in conflicted}
        for key, event_id in resolved.items():
            changes[key_hash(*key)] = self.number_of(event_id)
        root, nodes = state_tree.update(roots[0], changes, self.load_node)
        self.nodes.update(nodes)
        return Resolved(root, nodes)

    def _rank(self, event_id: EventID) -> int:
        """Events are numbered as they are accepted, and so after their auth events."""
        row = self.rows([event_id]).get(event_id)
        return 0 if row is None else row.number

    def _cited_by(self, event_id: EventID) -> list[Event]:
        return list(self.events_by_number(auth_citations.citing(self._txn, event_id)).values())

    def _event(self, row: EventRow) -> Event:
        event = self._events.get(row.event_id)
        if event is None:
            event = self._events[row.event_id] = event_of(row, self._version)
        return event

    def _keep(self, row: EventRow) -> None:
        self._rows[row.event_id] = row
        self._by_number[row.number] = row.event_id
        if row.flags & EventFlag.REJECTED:
            self.rejected.add(row.event_id)
