"""A room that this server enters: the state that another server told becomes the room's, and a join its first event.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.errors import AuthRejected, RemoteError
from homeserver.events import state_tree
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.event import Event, create_id_of_room
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash, key_hash
from homeserver.ids import EventID, RoomID, ServerName, StateKey
from homeserver.rooms.appending import Append, persist
from homeserver.rooms.live_room import Head, LiveRoom, is_join
from homeserver.rooms.loading import event_of
from homeserver.rooms.notifications import notified_by
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.outliers import Outliers
from homeserver.rooms.registry import Rooms
from homeserver.rooms.sequence import takes_seq
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.turns import Turns
from homeserver.runtime.clock import Clock
from storage import events as event_rows
from storage import partial_rooms
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Admission:
    """What the server that let us in has told: everything came through the gate."""

    join: Event
    state: Sequence[Event]
    auth_chain: Sequence[Event]
    via: ServerName
    is_partial: bool = False
    """Whether more of the state is to be fetched later."""
    servers: frozenset[ServerName] = frozenset()


@dataclass(slots=True)
class _Standing:
    """The told state as it is stored: the events that were not rejected, and their numbers."""

    state: dict[StateKey, Event]
    numbers: dict[StateKey, int]


class Arrival:
    """Begins rooms that were on other servers only, and takes up those that this server had left."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        outliers: Outliers,
        numbers: EventNumbers,
        turns: Turns[RoomID],
        clock: Clock,
        complete: Callable[[RoomID], None],
        *,
        server_name: ServerName,
    ) -> None:
        """`complete` has the rest of a room's state fetched."""
        self._complete = complete
        self._db = db
        self._rooms = rooms
        self._outliers = outliers
        self._numbers = numbers
        self._turns = turns
        self._clock = clock
        self._server_name = server_name

    async def enter(self, version: RoomVersion, admission: Admission) -> None:
        """Be in the room from now on.

        Raises:
            RemoteError: the state that was told does not make a room that the join could be in.
        """
        join = admission.join
        check_create(join.room_id, version, admission.state, admission.auth_chain)
        async with self._turns.of(join.room_id):
            await self._outliers.store(join.room_id, version, [*admission.auth_chain, *admission.state])
            state_ids = [event.event_id for event in admission.state]
            standing = await self._db.read(_stand, version, state_ids)
            try:
                check_event_auth(join, standing.state)
            except AuthRejected as error:
                raise RemoteError(
                    f"the join does not follow from the state that was told: {error}"
                ) from error
            await self._append(version, admission, standing)
        if admission.is_partial:
            self._complete(join.room_id)

    async def _append(self, version: RoomVersion, admission: Admission, standing: _Standing) -> None:
        join = admission.join
        room = await self._rooms.find_or_load(join.room_id)
        is_new = room is None
        if room is None:
            room = self._rooms.new(join.room_id, version)
        try:
            append = self._append_of(room, admission, standing)
            append.is_new_room = is_new
            room.writes_in_flight += 1
            try:
                await self._db.run(_persist, append, self._server_name, admission)
            finally:
                room.writes_in_flight -= 1
        except BaseException:
            self._rooms.drop(room)
            raise

    def _append_of(self, room: LiveRoom, admission: Admission, standing: _Standing) -> Append:
        """The join as the only extremity: what this server remembers from earlier stays is history now."""
        join = admission.join
        assert join.key is not None
        number = self._numbers.next()
        entries = {key_hash(*key): each for key, each in standing.numbers.items()}
        before, nodes = state_tree.update(state_tree.EMPTY, entries, _nothing)
        after, more = state_tree.update(before, {key_hash(*join.key): number}, nodes.__getitem__)
        nodes.update(more)
        entry = TimelineEvent(
            join,
            number=number,
            position=0,
            state_before=before,
            replaced=standing.state.get(join.key),
            replaced_number=standing.numbers.get(join.key),
        )
        state = {**standing.state, join.key: join}
        changes: dict[StateKey, Event | None] = {key: None for key in room.state if key not in state}
        for key, event in state.items():
            known = room.state.get(key)
            if known is None or known.event_id != event.event_id:
                changes[key] = event
        last_seq = room.head.last_seq
        if takes_seq(join):
            last_seq += 1
            entry.seq = last_seq
        head = Head(after, {join.event_id: join.depth}, changes, last_seq)
        room.nodes.update(nodes)
        room.head = head
        room.partial_state = admission.is_partial
        room.partial_servers = admission.servers if admission.is_partial else frozenset()
        if join.prev_events:
            room.has_older = room.has_gap = True
        append = Append(room, [entry], head, new_nodes=nodes)
        append.is_remote = True
        append.now_ms = self._clock.now_ms()
        append.gaps = list(join.prev_events)
        append.state_changes = changes
        append.numbers = {**standing.numbers, join.key: number}
        append.stayed = {
            key
            for key, event in changes.items()
            if event is not None and is_join(event) and key in room.state and is_join(room.state[key])
        }
        entry.notified = notified_by(room, join)
        return append


def check_create(
    room_id: RoomID, version: RoomVersion, state: Sequence[Event], auth_chain: Sequence[Event]
) -> None:
    """Whether what was told belongs to the room that was asked for.

    Raises:
        RemoteError: there is no create event, or it is of another room or version.
    """
    creates = [event for event in state if event.key == ("m.room.create", "")]
    if len(creates) != 1:
        raise RemoteError(f"the state that was told of {room_id} has {len(creates)} create events")
    (create,) = creates
    if create.content.get("room_version", "1") != version.id:
        raise RemoteError(f"the room {room_id} is not of version {version.id}")
    if version.room_id_is_create_event_id and create.event_id != create_id_of_room(room_id):
        raise RemoteError(f"the create event that was told is not that of {room_id}")
    if any(event.room_id != room_id for event in (*state, *auth_chain)):
        raise RemoteError(f"what was told of {room_id} has events of other rooms")


def _stand(txn: Transaction, version: RoomVersion, state_ids: Sequence[EventID]) -> _Standing:
    standing = _Standing({}, {})
    for row in event_rows.by_id(txn, state_ids).values():
        event = event_of(row, version)
        if row.flags & EventFlag.REJECTED or event.key is None:
            continue
        standing.state[event.key] = event
        standing.numbers[event.key] = row.number
    return standing


def _persist(txn: Transaction, append: Append, server_name: ServerName, admission: Admission) -> None:
    rows = event_rows.by_id(txn, append.gaps)
    append.gaps = [each for each in append.gaps if each not in rows or rows[each].state_before is None]
    persist(txn, append, server_name)
    partial_rooms.save(
        txn,
        append.room.room_id,
        join_event=admission.join.event_id,
        via=admission.via,
        servers=sorted(admission.servers),
        is_partial=admission.is_partial,
        started_ms=append.now_ms,
    )


def _nothing(node: NodeHash) -> bytes:
    raise KeyError(f"the state is new, and has no node {node.hex()}")
