"""The state of a room at places other than now: by difference from the current state's tree, never by copying it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from homeserver.events import state_tree
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash, key_hash
from homeserver.ids import RoomID, StateKey
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import event_of
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction


def node_loader(
    txn: Transaction, room_id: RoomID, nodes: dict[NodeHash, bytes]
) -> Callable[[NodeHash], bytes]:
    """Nodes from memory, else from the database; what is found there is added to `nodes`."""
    number = room_rows.number_of(txn, room_id)

    def load(node: NodeHash) -> bytes:
        if node not in nodes:
            nodes.update(room_rows.load_state_nodes(txn, number, [node]))
        return nodes[node]

    return load


def changes_between(
    txn: Transaction,
    room_id: RoomID,
    version: RoomVersion,
    nodes: Mapping[NodeHash, bytes],
    old: NodeHash,
    new: NodeHash,
) -> dict[StateKey, Event | None]:
    """What is different in the state `new`; None where it has no such key any more."""
    load = node_loader(txn, room_id, dict(nodes))
    differing = [(before, after) for _, before, after in state_tree.diff(old, new, load)]
    numbers = {number for pair in differing for number in pair if number is not None}
    events = {number: event_of(row, version) for number, row in event_rows.by_number(txn, numbers).items()}
    changes: dict[StateKey, Event | None] = {}
    for before, after in differing:
        event = events[after if after is not None else before]  # type: ignore[index]  # one of the two is there
        if event.key is not None:
            changes[event.key] = None if after is None else event
    return changes


class StateAt:
    """Answers what a room's state was at a root of its tree."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def at(self, room: LiveRoom, root: NodeHash) -> Mapping[StateKey, Event]:
        """The whole state map at `root`; free when that is the state now."""
        if root == room.root:
            return room.state
        state = dict(room.state)
        changes = await self._changes(room, room.root, root)
        for key, event in changes.items():
            if event is None:
                state.pop(key, None)
            else:
                state[key] = event
        return state

    async def between(self, room: LiveRoom, old: NodeHash, new: NodeHash) -> dict[StateKey, Event | None]:
        """What is different at `new`; free when nothing is."""
        if old == new:
            return {}
        return await self._changes(room, old, new)

    async def keys_at(
        self, room: LiveRoom, roots: Iterable[NodeHash], keys: Iterable[StateKey]
    ) -> dict[NodeHash, dict[StateKey, Event]]:
        """A few entries of the state at each of several roots."""
        wanted = list(keys)
        found: dict[NodeHash, dict[StateKey, Event]] = {}
        elsewhere = []
        for root in set(roots):
            if root == room.root:
                found[root] = {key: room.state[key] for key in wanted if key in room.state}
            else:
                elsewhere.append(root)
        if elsewhere:
            found.update(
                await self._db.read(_keys_at, room.room_id, room.version, dict(room.nodes), elsewhere, wanted)
            )
        return found

    async def _changes(self, room: LiveRoom, old: NodeHash, new: NodeHash) -> dict[StateKey, Event | None]:
        return await self._db.read(changes_between, room.room_id, room.version, dict(room.nodes), old, new)


def _keys_at(
    txn: Transaction,
    room_id: RoomID,
    version: RoomVersion,
    nodes: dict[NodeHash, bytes],
    roots: list[NodeHash],
    keys: list[StateKey],
) -> dict[NodeHash, dict[StateKey, Event]]:
    load = node_loader(txn, room_id, nodes)
    numbers = {root: {key: state_tree.get(root, key_hash(*key), load) for key in keys} for root in roots}
    wanted = {number for each in numbers.values() for number in each.values() if number is not None}
    events = {number: event_of(row, version) for number, row in event_rows.by_number(txn, wanted).items()}
    return {
        root: {key: events[number] for key, number in each.items() if number is not None}
        for root, each in numbers.items()
    }
