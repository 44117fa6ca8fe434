"""One durable append (DESIGN idea 3): every row that a write to a room implies, in one job of the group commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeserver.events.event import Event
from homeserver.events.redaction import redact_event
from homeserver.events.relations import parse_relation
from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, ServerName, StateKey, UserID, domain_of
from homeserver.rooms.live_room import Head, LiveRoom, is_join
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogKind
from storage import auth_citations, backward_extremities, membership, relations, state_alarms
from storage import events as event_rows
from storage import rooms as room_rows
from storage.transaction import Slot, Transaction


@dataclass(slots=True)
class Append:
    """A write to one room: its events in order, the head after them, and how current state changes."""

    room: LiveRoom
    events: list[TimelineEvent]
    head: Head
    new_nodes: dict[NodeHash, bytes] = field(default_factory=dict)
    state_changes: dict[StateKey, Event | None] = field(default_factory=dict)
    numbers: dict[StateKey, int] = field(default_factory=dict)
    """The event number of each member event among `state_changes`."""
    stayed: set[StateKey] = field(default_factory=set)
    """Those of the member events whose user was joined before and still is."""
    may_redact: frozenset[EventID] = frozenset()
    """The redactions among `events` whose sender has the power to redact anybody's events."""
    is_new_room: bool = False
    is_remote: bool = False
    """Whether redactions may have come before their targets."""
    promoted: frozenset[EventID] = frozenset()
    """Those of `events` that are stored already, as outliers."""
    gaps: Sequence[EventID] = ()
    """The predecessors of `events` that are not here."""
    now_ms: int = 0
    alarm: bytes | None = None
    """What state resolution took away that no event removed, as JSON."""


@dataclass(slots=True)
class Redacted:
    """An event that has lost its content, and why."""

    target: Event
    because: Event


def persist(txn: Transaction, append: Append, server_name: ServerName) -> Slot | None:
    """Write it all; the room advances and everybody is told only after the commit.

    Gives the last place that it has in the log, if it has any.
    """
    room = append.room
    room_id = room.room_id
    if append.is_new_room:
        number = room_rows.create(txn, room_id, room.version.id)
    else:
        number = txn.intern(room_id)
    slots: list[Slot | None] = []
    redacted: list[Redacted] = []
    positions: dict[EventID, Slot] = {}
    for event in append.events:
        slot = _insert(txn, number, event, is_known=event.event.event_id in append.promoted)
        slots.append(slot)
        if slot is not None:
            positions[event.event.event_id] = slot
        if event.flags & event_rows.HIDDEN == 0:
            _relate(txn, number, event, slot)
            if append.is_remote:
                redacted.extend(_redact_late(txn, number, event))
            redacted.extend(_redact(txn, number, event, append.may_redact))
        if append.is_remote:
            backward_extremities.close(txn, number, event.event.event_id)
    backward_extremities.open_all(txn, number, append.gaps)
    room_rows.save_state_nodes(txn, number, append.new_nodes)
    head = append.head
    room_rows.save_head(txn, number, room_rows.RoomHead(head.root, dict(head.extremities), head.last_seq))
    last = next((slot for slot in reversed(slots) if slot is not None), None)
    if append.state_changes and last is None:
        last = txn.log(LogKind.ROOM_STATE, room_id=room_id)
    for key, changed in append.state_changes.items():
        if key[0] == "m.room.member" and changed is not None:
            slot = positions.get(changed.event_id) or last
            assert slot is not None
            membership.save(
                txn,
                room=number,
                user_id=key[1],
                membership=str(changed.content.get("membership")),
                event=append.numbers[key],
                sender=changed.sender,
                position=slot,
                joined_at=room.joined_at.get(UserID(key[1]), slot) if key in append.stayed else slot,
                local=domain_of(key[1]) == server_name,
            )
    if positions and any(
        key[0] == "m.room.member" and (changed is None or changed.event_id not in positions)
        for key, changed in append.state_changes.items()
    ):
        # Forks have met, and somebody's membership is another without an event of their own: followers are to look.
        txn.log(LogKind.ROOM_STATE, room_id=room_id)
    if append.alarm is not None and last is not None:
        state_alarms.save(txn, number, last, append.alarm, seen_ms=append.now_ms)
    txn.after_commit(_committed, append, slots, last, redacted)
    return last


def _insert(txn: Transaction, room: int, timeline_event: TimelineEvent, *, is_known: bool) -> Slot | None:
    event = timeline_event.event
    slot: Slot | None = None
    if not timeline_event.flags & (event_rows.EventFlag.OUTLIER | event_rows.EventFlag.REJECTED):
        slot = txn.log(
            LogKind.EVENT,
            room_id=event.room_id,
            user_id=event.sender,
            ref=event.event_id,
            payload=timeline_event,
        )
    if event.state_key is not None:
        auth_citations.save(txn, timeline_event.number, event.auth_events)
    notified = timeline_event.notified
    event_rows.insert(
        txn,
        number=timeline_event.number,
        event_id=event.event_id,
        room=room,
        position=slot,
        depth=event.depth,
        type=event.type,
        state_key=event.state_key,
        sender=event.sender,
        origin_server_ts=event.origin_server_ts,
        flags=timeline_event.flags,
        seq=timeline_event.seq,
        state_before=timeline_event.state_before,
        replaces=timeline_event.replaced_number,
        notify=None if notified is None else notified.encode(),
        device=timeline_event.device_id,
        txn_id=timeline_event.txn_id,
        json=event.json,
        is_known=is_known,
    )
    return slot


def _relate(txn: Transaction, room: int, timeline_event: TimelineEvent, slot: Slot | None) -> None:
    event = timeline_event.event
    relation = parse_relation(event.content)
    if (
        relation is None
        or relation.rel_type is None
        or relation.event_id is None
        or event.state_key is not None
    ):
        return
    if event_rows.find_room(txn, relation.event_id) not in (None, room):
        # Nothing that is said in one room says anything of the events of another.
        return
    relations.insert(
        txn,
        parent=relation.event_id,
        child=timeline_event.number,
        rel_type=relation.rel_type,
        event_type=event.type,
        sender=event.sender,
        key=relation.key,
    )
    if relation.rel_type == "m.thread" and slot is not None:
        relations.advance_thread(
            txn, room=room, root=relation.event_id, latest=timeline_event.number, position=slot
        )


def settle_old(
    txn: Transaction, room: int, event: TimelineEvent, may_redact: frozenset[EventID]
) -> list[Redacted]:
    """What an event from the past does to others, and they to it."""
    _relate(txn, room, event, None)
    return [*_redact_late(txn, room, event), *_redact(txn, room, event, may_redact)]


def _redact(
    txn: Transaction, room: int, timeline_event: TimelineEvent, may_redact: frozenset[EventID]
) -> list[Redacted]:
    """Apply the redactions that this event is, or that have waited for it."""
    event = timeline_event.event
    if event.type == "m.room.redaction" and event.redacts is not None:
        row = event_rows.find(txn, event.redacts)
        if row is None:
            relations.wait_for_target(txn, event.redacts, timeline_event.number)
            return []
        target = Event.from_json(row.json, event.version, row.event_id)
        if row.room != room or row.redacted_by is not None or target.type == "m.room.create":
            return []
        if event.event_id not in may_redact and domain_of(event.sender) != domain_of(target.sender):
            return []
        return [_apply(txn, room, row.number, target, timeline_event.number, event)]
    return []


def _redact_late(txn: Transaction, room: int, timeline_event: TimelineEvent) -> list[Redacted]:
    """Apply the redactions of this event that came before it; only its sender's server could ask for those."""
    target = timeline_event.event
    for row in event_rows.by_number(txn, relations.waiting_redactions(txn, target.event_id)).values():
        because = Event.from_json(row.json, target.version, row.event_id)
        if row.room == room and domain_of(because.sender) == domain_of(target.sender):
            return [_apply(txn, room, timeline_event.number, target, row.number, because)]
    return []


def _apply(
    txn: Transaction, room: int, number: int, target: Event, redaction: int, because: Event
) -> Redacted:
    redacted = redact_event(target)
    event_rows.set_redacted(txn, number, redaction, redacted.json)
    relations.remove(txn, room, number)
    return Redacted(redacted, because)


def _committed(append: Append, slots: list[Slot | None], last: Slot | None, redacted: list[Redacted]) -> None:
    """On the reactor thread, in log order: the room is now what is on the disk."""
    room = append.room
    room.root = append.head.root
    for event, slot in zip(append.events, slots, strict=True):
        if slot is not None:
            event.position = slot.position
            room.advance(event, in_timeline=event.flags & event_rows.HIDDEN == 0)
    if append.state_changes:
        assert last is not None
        room.change_state(append.state_changes, last.position)
        for key, changed in append.state_changes.items():
            if changed is not None and key not in append.stayed and is_join(changed):
                room.joined_at[UserID(key[1])] = last.position
    for each in redacted:
        show_redaction(room, each)


def show_redaction(room: LiveRoom, redacted: Redacted) -> None:
    target = redacted.target
    shown = room.timeline.find(target.event_id)
    if shown is not None:
        shown.redact(target, redacted.because)
    key = target.key
    if key is not None:
        current = room.state.get(key)
        if current is not None and current.event_id == target.event_id:
            room.change_state({key: target}, room.position)
