"""Events that are known without their place in the room: auth events and state that other servers told us of.

They are judged by their own auth events alone, and numbered after them.
Spec: https://spec.matrix.org/v1.19/server-server-api/#rejection
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

from homeserver.errors import AuthRejected
from homeserver.events.auth_rules import check_auth_events, check_event_auth
from homeserver.events.event import Event, create_id_of_room
from homeserver.events.power_levels import CREATE
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import EventID, RoomID, StateKey
from homeserver.rooms.numbers import EventNumbers
from storage import auth_citations
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Transaction


class Outliers:
    """Stores events that came through the gate. Whoever calls has the room's turn."""

    def __init__(self, db: Database, numbers: EventNumbers) -> None:
        self._db = db
        self._numbers = numbers

    async def missing(self, event_ids: Collection[EventID]) -> list[EventID]:
        """Those of the events that are not stored."""
        known = await self._db.read(event_rows.by_id, event_ids)
        return [event_id for event_id in event_ids if event_id not in known]

    async def store(self, room_id: RoomID, version: RoomVersion, events: Iterable[Event]) -> None:
        """Store the events that are new and whose auth events are here or among them."""
        ordered = in_auth_order(events)
        judged = await self._db.read(_judge_all, room_id, version, ordered)
        if judged:
            numbered = [(event, flags, self._numbers.next()) for event, flags in judged]
            await self._db.run(_insert_all, room_id, version, numbered)


def in_auth_order(events: Iterable[Event]) -> list[Event]:
    """Each event after its auth events; those that cite one another in a circle are left out."""
    by_id = {event.event_id: event for event in events}
    graph = {key: [each for each in cited_by(event) if each in by_id] for key, event in by_id.items()}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = set(error.args[1])
        return in_auth_order(event for event in by_id.values() if event.event_id not in circle)
    ordered: list[Event] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        ordered.extend(by_id[event_id] for event_id in ready)
        sorter.done(*ready)
    return ordered


def cited_by(event: Event) -> list[EventID]:
    """What the event follows from: its auth events, and the create event where the room ID names it."""
    if _is_implied(event):
        return [create_id_of_room(event.room_id), *event.auth_events]
    return list(event.auth_events)


def _judge_all(
    txn: Transaction, room_id: RoomID, version: RoomVersion, events: list[Event]
) -> list[tuple[Event, int]]:
    """The events that can be stored, with the flags that they get."""
    known = event_rows.by_id(txn, {event.event_id for event in events})
    cited = {each for event in events for each in cited_by(event)}
    accepted: dict[EventID, Event] = {}
    rejected: set[EventID] = set()
    for row in event_rows.by_id(txn, cited).values():
        accepted[row.event_id] = Event.from_json(row.json, version, row.event_id)
        if row.flags & EventFlag.REJECTED:
            rejected.add(row.event_id)
    judged: list[tuple[Event, int]] = []
    for event in events:
        if event.event_id in known or any(each not in accepted for each in cited_by(event)):
            continue
        create = accepted[create_id_of_room(room_id)] if _is_implied(event) else None
        reason = _refusal(event, [accepted[each] for each in event.auth_events], rejected, create)
        flags = EventFlag.OUTLIER
        if reason is not None:
            flags |= EventFlag.REJECTED
            rejected.add(event.event_id)
        accepted[event.event_id] = event
        judged.append((event, int(flags)))
    return judged


def _is_implied(event: Event) -> bool:
    """Whether the create event authorises the event without being named."""
    return event.version.room_id_is_create_event_id and event.type != "m.room.create"


def _refusal(
    event: Event, auth_events: list[Event], rejected: set[EventID], create: Event | None
) -> str | None:
    state: dict[StateKey, Event] = {each.key: each for each in auth_events if each.key is not None}
    if create is not None:
        state[CREATE] = create
    try:
        check_auth_events(event, auth_events, rejected)
        check_event_auth(event, state)
    except AuthRejected as error:
        return str(error)
    return None


def _insert_all(
    txn: Transaction, room_id: RoomID, version: RoomVersion, numbered: list[tuple[Event, int, int]]
) -> None:
    known = event_rows.by_id(txn, [event.event_id for event, _, _ in numbered])
    room = txn.find_interned(room_id)
    if room is None:
        room = room_rows.create(txn, room_id, version.id)
    for event, flags, number in numbered:
        if event.event_id in known:
            continue
        if event.state_key is not None:
            auth_citations.save(txn, number, event.auth_events)
        event_rows.insert(
            txn,
            number=number,
            event_id=event.event_id,
            room=room,
            position=None,
            depth=event.depth,
            type=event.type,
            state_key=event.state_key,
            sender=event.sender,
            origin_server_ts=event.origin_server_ts,
            flags=flags,
            seq=None,
            state_before=None,
            replaces=None,
            notify=None,
            device=None,
            txn_id=None,
            json=event.json,
        )
