"""Events that other servers wrote: judged by their own auth events, by the state before them, and by the state now.

This is the room's side of receiving: whoever calls has verified signatures and hashes, and has fetched what the event
refers to. Judging reads the database on a thread; what it finds is applied only if the room's head is still the one
that was judged, else it is judged again.
Spec: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from homeserver.errors import AuthRejected, HearthError
from homeserver.events import state_tree
from homeserver.events.auth_rules import check_auth_events, check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event, create_id_of_room
from homeserver.events.power_levels import CREATE, PowerLevels
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash, key_hash
from homeserver.ids import EventID, ServerName, StateKey
from homeserver.rooms.appending import Append, persist
from homeserver.rooms.live_room import Head, LiveRoom, is_join
from homeserver.rooms.loading import event_of
from homeserver.rooms.losses import find_losses
from homeserver.rooms.notifications import notified_by
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.registry import Rooms
from homeserver.rooms.resolution import Resolved, StoredRoom
from homeserver.rooms.sequence import takes_seq
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.writer import wait_for_turn
from homeserver.runtime.clock import Clock
from storage import backward_extremities
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag, EventRow
from storage.transaction import Transaction

MAX_TRIES = 20


class Fate(Enum):
    """What became of an event."""

    ACCEPTED = "accepted"
    SOFT_FAILED = "soft-failed"
    REJECTED = "rejected"
    KNOWN = "known already"


class Missing(HearthError):
    """The event refers to events that are not here; whoever has them must be asked first."""

    def __init__(self, auth_events: list[EventID]) -> None:
        super().__init__("the event refers to events that are not here")
        self.auth_events = auth_events
        self.prev_events: list[EventID] = []


@dataclass(slots=True)
class _Judged:
    """What the database has to say about an event on a head."""

    before: Resolved
    after: Resolved
    current: Resolved
    changes: dict[StateKey, Event | None]
    numbers: dict[StateKey, int]
    rejected: str | None = None
    known: EventRow | None = None
    """The event's own row, if it is stored as an outlier."""
    gaps: list[EventID] = field(default_factory=list)
    is_past: bool = False
    """Whether events that follow it are here already: then it leads to nothing new."""
    replaced: Event | None = None
    replaced_number: int | None = None
    memory: dict[NodeHash, bytes] = field(default_factory=dict)
    """Nodes of the current state that were read for this."""
    may_redact: bool = False


class Incoming:
    """Takes events of other servers into rooms that this server is in."""

    def __init__(
        self, db: Database, rooms: Rooms, numbers: EventNumbers, clock: Clock, *, server_name: ServerName
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._numbers = numbers
        self._clock = clock
        self._server_name = server_name

    async def accept(
        self,
        event: Event,
        *,
        soft_fail: str | None = None,
        told_state: NodeHash | None = None,
        relayed: bool = False,
    ) -> Fate:
        """Judge and append one event. Whoever calls has the room's turn.

        `soft_fail` is a reason found elsewhere not to show it (a policy server's refusal). `told_state` is the state
        before the event where another server had to tell it, since events between are missing. `relayed` has the
        room's other servers told of it by us.

        Raises:
            Missing: its auth events, or (without `told_state`) its prev events, are not here.
            NotFound: this server does not know the room.
        """
        number = self._numbers.next()
        for _ in range(MAX_TRIES):
            room = await self._rooms.load(event.room_id)
            if room.writes_in_flight:
                # What the head is made of must be on the disk before it can be judged there.
                await self._db.run(wait_for_turn)
                continue
            head = room.head
            judged = await self._db.read(
                _judge,
                event,
                room.version,
                head,
                dict(room.nodes),
                number,
                told_state,
                is_partial=room.partial_state,
            )
            if judged is None:
                return Fate.KNOWN
            room = await self._rooms.load(event.room_id)
            if room.head is head and not room.writes_in_flight:
                return await self._apply(room, event, number, judged, soft_fail, relayed=relayed)
        raise RuntimeError(f"the room {event.room_id} does not hold still")

    async def _apply(
        self,
        room: LiveRoom,
        event: Event,
        number: int,
        judged: _Judged,
        soft_fail: str | None,
        *,
        relayed: bool,
    ) -> Fate:
        """From here to the commit nothing waits."""
        fate = Fate.ACCEPTED
        flags = int(EventFlag.RELAYED) if relayed else 0
        if judged.known is not None:
            number = judged.known.number
            if judged.known.redacted_by is not None:
                event = event_of(judged.known, room.version)
        if judged.rejected is not None:
            fate, flags = Fate.REJECTED, int(EventFlag.REJECTED)
        elif not judged.is_past and (soft_fail is not None or not self._allowed_now(room, event)):
            fate, flags = Fate.SOFT_FAILED, int(EventFlag.SOFT_FAILED)
        entry = TimelineEvent(
            event,
            number=number,
            position=0,
            flags=flags,
            state_before=judged.before.root,
            replaced=judged.replaced,
            replaced_number=judged.replaced_number,
        )
        append = Append(
            room, [entry], room.head, new_nodes={**judged.before.new_nodes, **judged.after.new_nodes}
        )
        append.is_remote = True
        append.gaps = judged.gaps
        append.now_ms = self._clock.now_ms()
        if judged.gaps:
            room.has_older = room.has_gap = True
        if judged.known is not None:
            append.promoted = frozenset({event.event_id})
        if fate is Fate.ACCEPTED:
            self._advance(room, entry, append, judged)
        room.writes_in_flight += 1
        try:
            await self._db.run(persist, append, self._server_name)
        except BaseException:
            self._rooms.drop(room)
            raise
        finally:
            room.writes_in_flight -= 1
        return fate

    @staticmethod
    def _advance(room: LiveRoom, entry: TimelineEvent, append: Append, judged: _Judged) -> None:
        event, head = entry.event, room.head
        if judged.may_redact:
            append.may_redact = frozenset({event.event_id})
        if takes_seq(event):
            # By arrival, for what is late as well: a conversation never changes its order.
            head = replace(head, last_seq=head.last_seq + 1)
            entry.seq = head.last_seq
        if judged.is_past:
            room.head = append.head = head
            return
        extremities = {key: depth for key, depth in head.extremities.items() if key not in event.prev_events}
        extremities[event.event_id] = event.depth
        append.alarm = find_losses(event, judged.changes, room.head_state)
        append.new_nodes.update(judged.current.new_nodes)
        append.state_changes = judged.changes
        append.numbers = judged.numbers
        for key, changed in judged.changes.items():
            before = room.state.get(key)
            if changed is not None and before is not None and is_join(changed) and is_join(before):
                append.stayed.add(key)
        room.nodes.update(judged.memory)
        room.nodes.update(append.new_nodes)
        room.head = append.head = Head(
            judged.current.root,
            extremities,
            {**head.pending, **judged.changes},
            head.last_seq,
        )
        entry.notified = notified_by(room, event)

    @staticmethod
    def _allowed_now(room: LiveRoom, event: Event) -> bool:
        """Check 6: would the current state let the event in?"""
        if room.partial_state:
            return True
        try:
            check_event_auth(event, room.head_state, power_levels=room.power_levels)
        except AuthRejected:
            return False
        return True


def _judge(
    txn: Transaction,
    event: Event,
    version: RoomVersion,
    head: Head,
    nodes: dict[NodeHash, bytes],
    number: int,
    told_state: NodeHash | None,
    *,
    is_partial: bool = False,
) -> _Judged | None:
    """Checks 4 and 5, the state before and after the event, and current state with it; None if it is known."""
    room = StoredRoom(txn, event.room_id, version, nodes)
    known = room.rows([event.event_id]).get(event.event_id)
    if known is not None:
        if not known.flags & EventFlag.OUTLIER:
            return None
        number = known.number
    auth_events = room.events(event.auth_events)
    missing = Missing([each for each in event.auth_events if each not in auth_events])
    prev_rows = room.prev_rows(event)
    if told_state is None:
        missing.prev_events = [each for each in event.prev_events if not is_placed(prev_rows.get(each))]
    if missing.auth_events or missing.prev_events:
        raise missing
    room.rejected.discard(event.event_id)
    rejected = check_own_auth(room, event, auth_events)
    before = Resolved(told_state) if told_state is not None else resolved_before(room, prev_rows.values())
    if rejected is None:
        # Of who is not known to be a member, the event itself says where that is to be seen.
        rejected = check_against(room, event, before.root, auth_events.values() if is_partial else ())
    replaced = None if event.key is None else room.find_state(before.root, event.key)
    replaced_number = None
    after = before
    if event.key is not None and rejected is None:
        replaced_number = state_tree.get(before.root, key_hash(*event.key), room.load_node)
        root, added = state_tree.update(before.root, {key_hash(*event.key): number}, room.load_node)
        room.nodes.update(added)
        after = Resolved(root, {**before.new_nodes, **added})
    is_past = backward_extremities.is_open(txn, room_rows.number_of(txn, event.room_id), event.event_id)
    judged = _Judged(before, after, after, {}, {}, rejected, known, [], is_past, replaced, replaced_number)
    if told_state is not None:
        judged.gaps = [each for each in event.prev_events if not is_placed(prev_rows.get(each))]
    if rejected is None:
        room.expect(event, number)
        if not is_past:
            _find_current(room, event, head, judged)
            judged.memory = {key: node for key, node in room.nodes.items() if key not in nodes}
        judged.may_redact = has_power_to_redact(room, event, before.root)
    return judged


def _find_current(room: StoredRoom, event: Event, head: Head, judged: _Judged) -> None:
    """Current state once the event is an extremity: that after it, resolved with what other forks there are."""
    others = [each for each in head.extremities if each not in event.prev_events]
    if others:
        rows = room.rows(others)
        states = [state for row in rows.values() if (state := room.state_after(row)) is not None]
        judged.current = room.resolve([judged.after.root, *(state.root for state in states)])
        for state in states:
            judged.current.new_nodes.update(state.new_nodes)
    judged.changes = room.changes(head.root, judged.current.root)
    judged.numbers = {
        key: room.number_of(changed.event_id)
        for key, changed in judged.changes.items()
        if changed is not None and key[0] == "m.room.member"
    }


def is_placed(row: EventRow | None) -> bool:
    """Whether an event is stored with the state before it."""
    return row is not None and row.state_before is not None


def resolved_before(room: StoredRoom, prev_rows: Iterable[EventRow]) -> Resolved:
    states = [state for row in prev_rows if (state := room.state_after(row)) is not None]
    if len(states) == 1:
        return states[0]
    resolved = room.resolve([state.root for state in states])
    for state in states:
        resolved.new_nodes.update(state.new_nodes)
    return resolved


def _create_event(room: StoredRoom, event: Event, root: NodeHash | None = None) -> Event | None:
    if event.version.room_id_is_create_event_id:
        create_id = create_id_of_room(event.room_id)
        return room.events([create_id]).get(create_id)
    return None if root is None else room.find_state(root, CREATE)


def check_own_auth(room: StoredRoom, event: Event, auth_events: Mapping[EventID, Event]) -> str | None:
    """Check 4: by the auth events that it names; the reason why not, or None."""
    state = {found.key: found for found in auth_events.values() if found.key is not None}
    create = _create_event(room, event)
    if create is not None:
        state[CREATE] = create
    try:
        check_auth_events(event, auth_events.values(), room.rejected)
        check_event_auth(event, state)
    except AuthRejected as error:
        return f"its own auth events: {error}"
    return None


def check_against(
    room: StoredRoom, event: Event, root: NodeHash, besides: Iterable[Event] = ()
) -> str | None:
    """Check 5: by the state before it; the reason why not, or None. `besides` is what that state may lack."""
    keys = auth_keys(event.type, event.sender, event.state_key, event.content, event.version)
    found = {key: room.find_state(root, key) for key in [*keys, CREATE]}
    state = {each.key: each for each in besides if each.key is not None}
    state.update((key, each) for key, each in found.items() if each is not None)
    try:
        check_event_auth(event, state)
    except AuthRejected as error:
        return f"the state before it: {error}"
    return None


def has_power_to_redact(room: StoredRoom, event: Event, root: NodeHash) -> bool:
    if event.type != "m.room.redaction":
        return False
    create = _create_event(room, event, root)
    if create is None:
        return False
    power = room.find_state(root, ("m.room.power_levels", ""))
    levels = PowerLevels.of(power, create, event.version)
    return levels.user(event.sender) >= levels.redact


def state_root(room: StoredRoom, state: Sequence[Event], numbers: Mapping[EventID, int]) -> Resolved:
    """A whole state map, as another server told it, as a tree."""
    changes = {key_hash(*event.key): numbers[event.event_id] for event in state if event.key is not None}
    root, nodes = state_tree.update(state_tree.EMPTY, changes, room.load_node)
    return Resolved(root, nodes)
