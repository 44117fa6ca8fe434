"""Rooms that were joined before all of their state was known: the rest is fetched while people talk already.

A large room's server leaves the members out when it lets us in, and some events may wait for keys. The full state
before our join is fetched in the background; then everything that came since is judged again by it, in order, and what
is current follows from that. Until then events are judged by what is known and by their own auth events, none is
soft-failed, and whoever asks for the member list waits.
Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
"""

from __future__ import annotations

from dataclasses import replace

import structlog
from twisted.internet.defer import Deferred

from homeserver.errors import HearthError, MatrixError, RemoteError
from homeserver.events.event import Event
from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.appending import Append
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import event_of
from homeserver.rooms.registry import Rooms
from homeserver.rooms.rejudging import Rejudged, finish, rejudge
from homeserver.rooms.turns import Turns
from homeserver.rooms.writer import wait_for_turn
from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.tasks import Tasks
from storage import events as event_rows
from storage import partial_rooms as rows
from storage.database import Database
from storage.partial_rooms import PartialRoom
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 10 * 60 * 1000
PATIENCE_MS = 30_000
"""How long somebody who asks for the members waits for them."""

MAX_SERVERS = 5
MAX_TRIES = 20


class Completion:
    """Completes one room at a time for each, and lets those wait who need all of it."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        gaps: Gaps,
        turns: Turns[RoomID],
        clock: Clock,
        tasks: Tasks,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._gaps = gaps
        self._turns = turns
        self._clock = clock
        self._tasks = tasks
        self._server_name = server_name
        self._running: set[RoomID] = set()
        self._timers: dict[RoomID, Timer] = {}
        self._waiting: dict[RoomID, list[Deferred[None]]] = {}
        self._is_stopped = False

    async def start(self) -> None:
        """Go on with the rooms that were not complete when the process ended."""
        for room in await self._db.read(rows.list_all):
            self.begin(room.room_id)

    def stop(self) -> None:
        self._is_stopped = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        for room_id in list(self._waiting):
            self._wake(room_id)

    def begin(self, room_id: RoomID, *, wait_ms: int = FIRST_WAIT_MS) -> None:
        """Fetch what is missing of a room, until it is there."""
        if room_id not in self._running and not self._is_stopped:
            self._running.add(room_id)
            self._tasks.spawn(f"complete {room_id}", self._complete(room_id, wait_ms))

    async def wait_for(self, room: LiveRoom) -> LiveRoom:
        """The room with all of its state.

        Raises:
            MatrixError: that takes longer than anybody waits for an answer.
        """
        if not room.partial_state:
            return room
        waiter: Deferred[None] = Deferred()
        self._waiting.setdefault(room.room_id, []).append(waiter)
        timer = self._clock.call_later(PATIENCE_MS / 1000, self._give_up, room.room_id, waiter)
        self.begin(room.room_id)
        await waiter
        if timer.active():
            timer.cancel()
        room = await self._rooms.load(room.room_id)
        if room.partial_state:
            raise MatrixError(f"the members of {room.room_id} are still being fetched", status=503)
        return room

    def _give_up(self, room_id: RoomID, waiter: Deferred[None]) -> None:
        waiters = self._waiting.get(room_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
            waiter.callback(None)

    def _wake(self, room_id: RoomID) -> None:
        for waiter in self._waiting.pop(room_id, ()):
            waiter.callback(None)

    async def _complete(self, room_id: RoomID, wait_ms: int) -> None:
        try:
            partial = await self._db.read(rows.find, room_id)
            if partial is not None:
                await self._apply(partial, await self._fetch(partial))
                _log.info("a room is complete", room=room_id)
        except HearthError as error:
            _log.info("a room is not complete yet", room=room_id, reason=str(error))
            self._later(room_id, wait_ms)
        else:
            self._wake(room_id)
        finally:
            self._running.discard(room_id)

    def _later(self, room_id: RoomID, wait_ms: int) -> None:
        if not self._is_stopped:
            longer = min(2 * wait_ms, LONGEST_WAIT_MS)
            self._timers[room_id] = self._clock.call_later(wait_ms / 1000, self._again, room_id, longer)

    def _again(self, room_id: RoomID, wait_ms: int) -> None:
        del self._timers[room_id]
        self.begin(room_id, wait_ms=wait_ms)

    async def _fetch(self, partial: PartialRoom) -> NodeHash:
        """The state before the join, which is stored by then."""
        room = await self._rooms.load(partial.room_id)
        join = await self._db.read(_event, room, partial.join_event)
        others = [server for server in partial.servers if server != self._server_name]
        servers = list(dict.fromkeys([partial.via, *others]))[:MAX_SERVERS]
        return await self._gaps.told_state(servers, join)

    async def _apply(self, partial: PartialRoom, full: NodeHash) -> None:
        async with self._turns.of(partial.room_id):
            for _ in range(MAX_TRIES):
                room = await self._rooms.load(partial.room_id)
                if room.writes_in_flight:
                    await self._db.run(wait_for_turn)
                    continue
                head = room.head
                judged = await self._db.read(
                    rejudge, room.room_id, room.version, dict(room.nodes), head, partial.join_event, full
                )
                room = await self._rooms.load(partial.room_id)
                if room.head is head and not room.writes_in_flight:
                    await self._persist(room, judged)
                    return
        raise RemoteError(f"the room {partial.room_id} does not hold still")

    async def _persist(self, room: LiveRoom, judged: Rejudged) -> None:
        """From here to the commit nothing waits."""
        head = replace(
            room.head,
            root=judged.current.root,
            extremities=judged.extremities,
            pending={**room.head.pending, **judged.changes},
        )
        append = Append(room, [], head, new_nodes=judged.nodes)
        append.state_changes = judged.changes
        append.numbers = judged.numbers
        append.now_ms = self._clock.now_ms()
        append.stayed = {
            key for key in judged.changes if key[0] == "m.room.member" and key[1] in room.local_joined
        }
        room.nodes.update(judged.memory)
        room.head = head
        room.writes_in_flight += 1
        try:
            await self._db.run(finish, append, judged, self._server_name)
        except BaseException:
            self._rooms.drop(room)
            raise
        finally:
            room.writes_in_flight -= 1


def _event(txn: Transaction, room: LiveRoom, event_id: EventID) -> Event:
    row = event_rows.find(txn, event_id)
    if row is None:
        raise RemoteError(f"the join {event_id} is gone")
    return event_of(row, room.version)
