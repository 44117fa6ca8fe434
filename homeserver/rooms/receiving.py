"""Receiving events of other servers: the gate, what is missing, and the room's own judgement, one room at a time.

Fetching what is missing holds nobody up: the room's turn is taken only to judge and append. An event that is on its
way already is not begun twice, and one that fails spoils nothing else.
Spec: https://spec.matrix.org/v1.19/server-server-api/#pdus
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import structlog
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.once import Once
from homeserver.errors import HearthError, NotFound, RemoteError
from homeserver.events.canonical_json import decode_json
from homeserver.events.event import Event
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.gate import Gate, find_event_id
from homeserver.rooms.incoming import Fate, Incoming, Missing
from homeserver.rooms.late_events import LateEvents
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.turns import Turns
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from storage import backward_extremities
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.errors import StorageError
from storage.late_events import LateEvent
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

ROUNDS = 25
"""How often one gap is asked about; what is behind is history, fetched when somebody reads it."""

TRIES = 8
REASONS = {Fate.REJECTED: "the authorization rules do not allow the event"}


class PolicyCheck(Protocol):
    """Asks the room's policy server, if it has one."""

    async def refusal(self, room: LiveRoom, event: Event) -> str | None: ...


class Outsiders(Protocol):
    """Takes what concerns local users of a room that this server is not in."""

    async def take(self, room_id: RoomID, pdus: Sequence[Any]) -> dict[EventID, str | None]: ...


class Crowd(Protocol):
    """Is told when a room has many forward extremities."""

    def grown(self, room: LiveRoom) -> None: ...


class Receiving:
    """Takes in what other servers push, and what leads to it."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        incoming: Incoming,
        gate: Gate,
        gaps: Gaps,
        turns: Turns[RoomID],
        policy: PolicyCheck,
        crowd: Crowd,
        outsiders: Outsiders,
        joins: Turns[RoomID],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self.late = LateEvents(db, clock, tasks, self._receive_late)
        self._db = db
        self._rooms = rooms
        self._incoming = incoming
        self._gate = gate
        self._gaps = gaps
        self._turns = turns
        self._policy = policy
        self._crowd = crowd
        self._outsiders = outsiders
        self._joins = joins
        self._on_its_way: Once[EventID, Fate] = Once()
        self._gap_turns: Turns[tuple[RoomID, ServerName]] = Turns()

    async def receive_pdus(self, origin: ServerName, pdus: Sequence[Any]) -> dict[EventID, str | None]:
        """Take the PDUs of a transaction; what became of each, None if it was handled."""
        by_room: dict[RoomID, list[Any]] = {}
        for pdu in pdus:
            room_id = pdu.get("room_id") if isinstance(pdu, dict) else None
            if isinstance(room_id, str):
                by_room.setdefault(RoomID(room_id), []).append(pdu)
        work = [Deferred.fromCoroutine(self._receive_of_room(origin, *pair)) for pair in by_room.items()]
        results: dict[EventID, str | None] = {}
        for of_room in await gatherResults(work, consumeErrors=True):
            results.update(of_room)
        return results

    async def _receive_of_room(
        self, origin: ServerName, room_id: RoomID, pdus: Sequence[Any]
    ) -> dict[EventID, str | None]:
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            # Whoever lets one of us in tells us of what comes after, perhaps before we are done with coming in.
            async with self._joins.of(room_id):
                room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            return await self._outsiders.take(room_id, pdus)
        if not is_server_allowed(room, origin):
            return _refuse_all(room, pdus, f"{origin} may not take part in this room")
        checked = await self._gate.check(pdus, room.version, room_id)
        results: dict[EventID, str | None] = dict(checked.refused)
        for event in checked.unverified.values():
            await self.late.keep(origin, event)
        for event in checked.events:
            results[event.event_id] = await self._receive_safely(origin, event)
        return results

    async def _receive_safely(self, origin: ServerName, event: Event) -> str | None:
        """One event of several; the reason why not, if it is refused."""
        try:
            fate = await self.receive(origin, event)
        except RemoteError as error:
            await self.late.keep(origin, event)
            return str(error)
        except HearthError as error:
            return str(error)
        except StorageError:
            # Our own trouble: the server is to send it again.
            raise
        except Exception:  # noqa: BLE001  # a bug met by one event keeps the others out of no room
            _log.exception("an event could not be received", origin=origin, event_id=event.event_id)
            return "this server failed to take the event"
        return REASONS.get(fate)

    async def _receive_late(self, late: LateEvent) -> None:
        room = await self._rooms.load(late.room_id)
        event = await self._gate.check_one(decode_json(late.json), room.version, room.room_id)
        await self.receive(late.origin, event)

    async def receive(self, origin: ServerName, event: Event, *, relayed: bool = False) -> Fate:
        """Take one event that came through the gate.

        Raises:
            NotFound: this server does not know the room.
            RemoteError: what the event refers to cannot be had.
        """
        return await self._on_its_way.run(
            event.event_id, partial(self._receive, origin, event, relayed=relayed, fill=True)
        )

    async def _receive(self, origin: ServerName, event: Event, *, relayed: bool, fill: bool) -> Fate:
        told = None
        room = await self._rooms.load(event.room_id)
        if event.type == "m.room.create":
            if event.event_id != room.create_event.event_id:
                raise NotFound(f"{event.room_id} has another create event")
            return Fate.KNOWN
        soft_fail = await self._policy.refusal(room, event)
        for _ in range(TRIES):
            try:
                async with self._turns.of(event.room_id):
                    fate = await self._incoming.accept(
                        event, soft_fail=soft_fail, told_state=told, relayed=relayed
                    )
            except Missing as missing:
                servers = self._servers_for(event, origin)
                if missing.auth_events:
                    lacking = await self._gaps.fetch_auth_events(servers, event)
                    if lacking:
                        raise RemoteError(f"nobody has the auth events {lacking}") from missing
                elif fill:
                    fill = False
                    async with self._gap_turns.of((event.room_id, origin)):
                        await self._fill(origin, servers, event)
                else:
                    told = await self._gaps.told_state(servers, event)
                continue
            await self._after(fate, event)
            return fate
        raise RemoteError(f"what {event.event_id} refers to cannot be had")

    async def _after(self, fate: Fate, event: Event) -> None:
        if fate is Fate.ACCEPTED:
            room = self._rooms.find(event.room_id)
            if room is not None:
                self._crowd.grown(room)

    def _servers_for(self, event: Event, origin: ServerName) -> list[ServerName]:
        room = self._rooms.find(event.room_id)
        return self._gaps.servers_for(event, origin, () if room is None else room.servers)

    async def _fill(self, origin: ServerName, servers: Sequence[ServerName], event: Event) -> None:
        """Receive what lies between the event and what is known, as far as servers tell."""
        found: dict[EventID, Event] = {}
        for server in servers:
            if not await self._missing_before(event, found):
                break
            try:
                await self._find_between(server, event, found)
            except RemoteError as error:
                _log.info("a server does not fill a gap", server=server, reason=str(error))
        for each in sorted(found.values(), key=lambda one: one.depth):
            try:
                # Not through `_on_its_way`: one that is begun already may wait for this gap to be filled.
                await self._receive(origin, each, relayed=False, fill=False)
            except HearthError as error:
                _log.info("an event in a gap is not taken", event_id=each.event_id, reason=str(error))

    async def _find_between(self, server: ServerName, event: Event, found: dict[EventID, Event]) -> None:
        for _ in range(ROUNDS):
            lacking = await self._missing_before(event, found)
            if not lacking:
                return
            room = await self._rooms.load(event.room_id)
            latest = [
                each.event_id
                for each in (event, *found.values())
                if any(before in lacking for before in each.prev_events)
            ]
            events = await self._gaps.missing_events(
                server,
                event.room_id,
                event.version,
                earliest=list(room.head.extremities),
                latest=latest,
            )
            told = {each.event_id: each for each in events}
            if not lacking & told.keys():
                return
            # Take what leads to the event, and leave what lies behind the gap.
            while new := lacking & told.keys():
                found.update((event_id, told[event_id]) for event_id in new)
                lacking = await self._missing_before(event, found)

    async def _missing_before(self, event: Event, found: dict[EventID, Event]) -> set[EventID]:
        """The predecessors that neither the room nor `found` has."""
        return await self._db.read(_missing_before, event, found)


def _missing_before(txn: Transaction, event: Event, found: dict[EventID, Event]) -> set[EventID]:
    room = room_rows.number_of(txn, event.room_id)
    # What is behind an event that others follow already is history.
    past = set(backward_extremities.list_of_room(txn, room))
    leading = [one for one in found.values() if one.event_id not in past]
    wanted = {each for one in (event, *leading) for each in one.prev_events} - found.keys()
    rows = event_rows.by_id(txn, wanted)
    return {each for each in wanted if each not in rows or rows[each].state_before is None}


def _refuse_all(room: LiveRoom, pdus: Sequence[Any], reason: str) -> dict[EventID, str | None]:
    found = (find_event_id(pdu, room.version) for pdu in pdus)
    return {event_id: reason for event_id in found if event_id is not None}
