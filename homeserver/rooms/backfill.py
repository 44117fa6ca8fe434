"""History from before this server was in a room: asked for when somebody reads that far back, and kept.

What comes is judged by its own auth events and by the state before it, which the same server tells for the oldest of
it and which follows for the rest. It stands before everything that is known, at negative positions.
Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from federation.outbound.client import FederationClient
from federation.outbound.once import Once
from homeserver.errors import RemoteError
from homeserver.events import state_tree
from homeserver.events.event import Event
from homeserver.events.state_tree import NodeHash, key_hash
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.appending import Redacted, settle_old, show_redaction
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.gate import Gate
from homeserver.rooms.incoming import (
    check_against,
    check_own_auth,
    has_power_to_redact,
    is_placed,
    resolved_before,
)
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.registry import Rooms
from homeserver.rooms.resolution import ABOUT_TO_BE_STORED, Resolved, StoredRoom
from homeserver.rooms.sequence import takes_seq
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.turns import Turns
from homeserver.runtime.notifier import LogKind
from storage import auth_citations, backward_extremities
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag, EventRow
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

PAGE = 100
MAX_SERVERS = 3
MAX_STARTS = 20


@dataclass(slots=True)
class _Placed:
    """Events with the state before each, ready to be stored: oldest first."""

    entries: list[TimelineEvent] = field(default_factory=list)
    nodes: dict[NodeHash, bytes] = field(default_factory=dict)
    gaps: set[EventID] = field(default_factory=set)
    known: set[EventID] = field(default_factory=set)
    promoted: set[EventID] = field(default_factory=set)
    may_redact: set[EventID] = field(default_factory=set)
    unauthorised: list[Event] = field(default_factory=list)
    """Events whose auth events are not here."""


class Backfill:
    """Fetches a page at a time; whoever reads the same room meanwhile waits for the same page."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        client: FederationClient,
        gate: Gate,
        gaps: Gaps,
        numbers: EventNumbers,
        turns: Turns[RoomID],
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._client = client
        self._gate = gate
        self._gaps = gaps
        self._numbers = numbers
        self._turns = turns
        self._server_name = server_name
        self._running: Once[RoomID, bool] = Once()

    async def fetch(self, room: LiveRoom) -> bool:
        """Whether there is more of the room's history here than before."""
        return await self._running.run(room.room_id, partial(self._fetch, room))

    async def nearest(self, room: LiveRoom, ts: int, *, forwards: bool) -> int | None:
        """When that event was sent which another server has closest to `ts`; None if nobody says."""
        servers = [server for server in room.servers if server != self._server_name]
        for server in servers[:MAX_SERVERS]:
            try:
                found = await self._client.get_event_by_timestamp(
                    server, room.room_id, ts, "f" if forwards else "b"
                )
            except RemoteError as error:
                _log.info("a server finds no event", server=server, room=room.room_id, reason=str(error))
            else:
                return found.origin_server_ts
        return None

    async def _fetch(self, room: LiveRoom) -> bool:
        starts = await self._db.read(_extremities, room.room_id)
        if not starts:
            room.has_gap = False
            return False
        servers = [server for server in room.servers if server != self._server_name]
        for server in servers[:MAX_SERVERS]:
            try:
                if await self._fetch_from(server, room, starts):
                    return True
            except RemoteError as error:
                _log.info("a server tells no history", server=server, room=room.room_id, reason=str(error))
        return False

    async def _fetch_from(self, server: ServerName, room: LiveRoom, starts: Sequence[EventID]) -> bool:
        pdus = await self._client.backfill(server, room.room_id, starts, PAGE)
        checked = await self._gate.check(pdus[:PAGE], room.version, room.room_id, backfilled=True)
        events = in_order(checked.events)
        told = await self._told_states(server, room, events)
        placed = await self._place(room, events, told)
        if placed.unauthorised:
            for event in placed.unauthorised:
                await self._gaps.fetch_auth_events([server], event)
            placed = await self._place(room, events, told)
        if not placed.entries and not placed.known:
            return False
        async with self._turns.of(room.room_id):
            await self._db.run(_store, room, placed)
        return True

    async def _told_states(
        self, server: ServerName, room: LiveRoom, events: Sequence[Event]
    ) -> dict[EventID, NodeHash]:
        """The state before each event whose predecessors have not come with it."""
        together = {event.event_id for event in events}
        before = {each for event in events for each in event.prev_events} - together
        rows = await self._db.read(event_rows.by_id, before)
        told: dict[EventID, NodeHash] = {}
        for event in events:
            if event.type == "m.room.create":
                told[event.event_id] = state_tree.EMPTY
            elif not all(each in together or is_placed(rows.get(each)) for each in event.prev_events):
                try:
                    told[event.event_id] = await self._gaps.told_state([server], event)
                except RemoteError as error:
                    _log.info("the state is not told", event_id=event.event_id, reason=str(error))
        return told

    async def _place(
        self, room: LiveRoom, events: Sequence[Event], told: Mapping[EventID, NodeHash]
    ) -> _Placed:
        numbers = [self._numbers.next() for _ in events]
        return await self._db.read(_place_all, room, events, told, numbers)


def in_order(events: Sequence[Event]) -> list[Event]:
    """Each event after those before it."""
    return sorted(events, key=lambda event: (event.depth, event.event_id))


def _extremities(txn: Transaction, room_id: RoomID) -> list[EventID]:
    return backward_extremities.list_of_room(txn, room_rows.number_of(txn, room_id))[:MAX_STARTS]


def _place_all(
    txn: Transaction,
    room: LiveRoom,
    events: Sequence[Event],
    told: Mapping[EventID, NodeHash],
    numbers: Sequence[int],
) -> _Placed:
    stored = StoredRoom(txn, room.room_id, room.version, dict(room.nodes))
    placed = _Placed()
    for event, number in zip(events, numbers, strict=True):
        row = stored.rows([event.event_id]).get(event.event_id)
        if row is not None and is_placed(row):
            placed.known.add(event.event_id)
            continue
        auth_events = stored.events(event.auth_events)
        if len(auth_events) < len(set(event.auth_events)):
            placed.unauthorised.append(event)
            continue
        prev_rows = stored.prev_rows(event)
        if event.event_id in told:
            before = Resolved(told[event.event_id])
        elif event.prev_events and all(is_placed(prev_rows.get(each)) for each in event.prev_events):
            before = resolved_before(stored, prev_rows.values())
        else:
            continue
        if row is not None:
            number = row.number
            placed.promoted.add(event.event_id)
        refusal = check_own_auth(stored, event, auth_events)
        if refusal is None and event.type != "m.room.create":
            refusal = check_against(stored, event, before.root)
        flags = EventFlag.FETCHED_LATER | (EventFlag.REJECTED if refusal is not None else 0)
        replaced = None
        if event.key is not None and refusal is None:
            replaced = state_tree.get(before.root, key_hash(*event.key), stored.load_node)
        entry = TimelineEvent(
            event,
            number=number,
            position=0,
            flags=int(flags),
            state_before=before.root,
            replaced_number=replaced,
        )
        stored.add(_row_of(entry), event)
        placed.nodes.update(before.new_nodes)
        placed.entries.append(entry)
        placed.gaps.update(each for each in event.prev_events if not is_placed(prev_rows.get(each)))
        if refusal is None and has_power_to_redact(stored, event, before.root):
            placed.may_redact.add(event.event_id)
    return placed


def _row_of(entry: TimelineEvent) -> EventRow:
    return EventRow(
        number=entry.number,
        event_id=entry.event.event_id,
        room=ABOUT_TO_BE_STORED,
        position=None,
        flags=entry.flags,
        seq=None,
        state_before=entry.state_before,
        replaces=entry.replaced_number,
        redacted_by=None,
        notify=None,
        device=None,
        txn_id=None,
        json=entry.event.json,
    )


def _store(txn: Transaction, room: LiveRoom, placed: _Placed) -> None:
    number = room_rows.number_of(txn, room.room_id)
    known = event_rows.by_id(txn, [entry.event.event_id for entry in placed.entries])
    entries = [entry for entry in placed.entries if not is_placed(known.get(entry.event.event_id))]
    shown = [entry for entry in entries if not entry.flags & EventFlag.REJECTED]
    first = event_rows.first_position(txn, number) - len(shown)
    positions = {entry.event.event_id: first + place for place, entry in enumerate(shown)}
    seqs = _numbered(shown, event_rows.first_seq(txn, number))
    redacted: list[Redacted] = []
    for entry in entries:
        event = entry.event
        if event.event_id in placed.promoted and known[event.event_id].redacted_by is not None:
            event = Event.from_json(known[event.event_id].json, room.version, event.event_id)
        if event.state_key is not None:
            auth_citations.save(txn, entry.number, event.auth_events)
        event_rows.insert(
            txn,
            number=entry.number,
            event_id=event.event_id,
            room=number,
            position=positions.get(event.event_id),
            depth=event.depth,
            type=event.type,
            state_key=event.state_key,
            sender=event.sender,
            origin_server_ts=event.origin_server_ts,
            flags=entry.flags,
            seq=seqs.get(event.event_id),
            state_before=entry.state_before,
            replaces=entry.replaced_number,
            notify=None,
            device=None,
            txn_id=None,
            json=event.json,
            is_known=event.event_id in placed.promoted,
        )
        if event.event_id in positions:
            redacted.extend(settle_old(txn, number, entry, frozenset(placed.may_redact)))
    room_rows.save_state_nodes(txn, number, placed.nodes)
    backward_extremities.open_all(txn, number, placed.gaps)
    for event_id in [*(entry.event.event_id for entry in entries), *placed.known]:
        backward_extremities.close(txn, number, event_id)
    has_gap = backward_extremities.exist(txn, number)
    if shown:
        txn.log(LogKind.HISTORY, room_id=room.room_id)
    txn.after_commit(_stored, room, redacted, has_gap=has_gap)


def _numbered(shown: Sequence[TimelineEvent], first: int) -> dict[EventID, int]:
    """Sequence numbers for what stood before `first`: downwards without a gap, from the newest."""
    taking = [entry.event.event_id for entry in reversed(shown) if takes_seq(entry.event)]
    return {event_id: first - 1 - place for place, event_id in enumerate(taking)}


def _stored(room: LiveRoom, redacted: Sequence[Redacted], *, has_gap: bool) -> None:
    room.has_gap = has_gap
    room.has_older = True
    for each in redacted:
        show_redaction(room, each)
