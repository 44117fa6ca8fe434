"""Judging again, by the full state, what came while only a part of a room's state was known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from homeserver.events import state_tree
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, RoomID, ServerName, StateKey
from homeserver.rooms.appending import Append, persist
from homeserver.rooms.incoming import check_against, check_own_auth, is_placed, resolved_before
from homeserver.rooms.live_room import Head, LiveRoom
from homeserver.rooms.loading import event_of
from homeserver.rooms.resolution import Resolved, StoredRoom
from homeserver.runtime.notifier import LogKind
from storage import events as event_rows
from storage import partial_rooms
from storage import rooms as room_rows
from storage.events import EventFlag, EventRow
from storage.transaction import Slot, Transaction


@dataclass(slots=True)
class Rejudged:
    """What has come since the join, by the full state."""

    current: Resolved
    extremities: dict[EventID, int]
    events: dict[int, tuple[NodeHash, int]]
    """The state before each event and its flags, by event number."""
    changes: dict[StateKey, Event | None] = field(default_factory=dict)
    numbers: dict[StateKey, int] = field(default_factory=dict)
    nodes: dict[NodeHash, bytes] = field(default_factory=dict)
    """The nodes that are not stored yet."""
    memory: dict[NodeHash, bytes] = field(default_factory=dict)
    """All nodes of the current state."""


def rejudge(
    txn: Transaction,
    room_id: RoomID,
    version: RoomVersion,
    nodes: dict[NodeHash, bytes],
    head: Head,
    join_event: EventID,
    full: NodeHash,
) -> Rejudged:
    """Go through the events since the join, whose state before is `full`."""
    stored = StoredRoom(txn, room_id, version, nodes)
    judged = Rejudged(Resolved(full), dict(head.extremities), {})
    join = stored.rows([join_event])[join_event]
    since = event_rows.placed_since(txn, room_rows.number_of(txn, room_id), join)
    for row in _in_order(since, version):
        _judge(stored, row, version, judged, full if row.event_id == join_event else None)
    judged.extremities = {
        each: depth for each, depth in head.extremities.items() if each not in stored.rejected
    } or judged.extremities
    states = [
        state
        for row in stored.rows(judged.extremities).values()
        if (state := stored.state_after(row)) is not None
    ]
    judged.current = stored.resolve([state.root for state in states])
    for state in (*states, judged.current):
        judged.nodes.update(state.new_nodes)
    judged.changes = stored.changes(head.root, judged.current.root)
    judged.numbers = {
        key: stored.number_of(changed.event_id)
        for key, changed in judged.changes.items()
        if changed is not None and key[0] == "m.room.member"
    }
    for _ in state_tree.items(judged.current.root, stored.load_node):
        pass
    judged.memory = stored.nodes
    return judged


def _in_order(rows: Iterable[EventRow], version: RoomVersion) -> list[EventRow]:
    """Each event after those that it follows."""
    by_id = {row.event_id: row for row in rows}
    graph = {
        event_id: [each for each in event_of(row, version).prev_events if each in by_id]
        for event_id, row in by_id.items()
    }
    return [by_id[event_id] for event_id in TopologicalSorter(graph).static_order()]


def _judge(
    stored: StoredRoom, row: EventRow, version: RoomVersion, judged: Rejudged, told: NodeHash | None
) -> None:
    event = event_of(row, version)
    prev_rows = stored.prev_rows(event)
    if told is not None:
        before = Resolved(told)
    elif all(is_placed(prev_rows.get(each)) for each in event.prev_events):
        before = resolved_before(stored, prev_rows.values())
    else:
        # Its state was told when it came, and all of it.
        before = Resolved(row.state_before or state_tree.EMPTY)
    reason = None
    if told is None:
        reason = check_own_auth(stored, event, stored.events(event.auth_events))
        reason = reason or check_against(stored, event, before.root)
    flags = row.flags
    if reason is not None:
        flags = int(EventFlag.REJECTED)
    elif flags & EventFlag.REJECTED:
        # Its place in the timeline has passed.
        flags = int(EventFlag.SOFT_FAILED)
        stored.rejected.discard(event.event_id)
    judged.events[row.number] = (before.root, flags)
    judged.nodes.update(before.new_nodes)
    stored.add(row._replace(state_before=before.root, flags=flags), event)


def finish(txn: Transaction, append: Append, judged: Rejudged, server_name: ServerName) -> None:
    """Write what was found, and that the room is complete."""
    for number, (root, flags) in judged.events.items():
        event_rows.place_again(txn, number, root, flags)
    room = append.room
    slot = persist(txn, append, server_name) or txn.log(LogKind.ROOM_STATE, room_id=room.room_id)
    partial_rooms.finish(txn, room.room_id, slot)
    txn.after_commit(_finished, room, judged, slot)


def _finished(room: LiveRoom, judged: Rejudged, slot: Slot) -> None:
    room.completed_at = slot.position
    room.partial_state = False
    room.partial_servers = frozenset()
    for entry in room.timeline:
        if entry.number in judged.events:
            entry.state_before = judged.events[entry.number][0]
