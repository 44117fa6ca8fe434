"""Asking other servers for what events refer to and this server has not: auth events, predecessors, and state.

Whatever comes passes the gate. What is stored here are outliers; predecessors go back to whoever receives events.
Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import structlog
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from federation.outbound.client import FederationClient
from homeserver.errors import EventError, HearthError, RemoteError
from homeserver.events import state_tree
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash, key_hash
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.gate import Gate
from homeserver.rooms.outliers import Outliers
from homeserver.rooms.turns import Turns
from storage import events as event_rows
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Transaction

_log = structlog.get_logger(__name__)

MISSING_PER_ROUND = 20
SINGLY = 50
"""Up to this many events are asked for one by one; more, and the whole state is."""

PARALLEL = 5
MAX_SERVERS = 3
"""How many servers are asked before a gap stays one."""


class Gaps:
    """Fetches for one room at a time."""

    def __init__(
        self,
        db: Database,
        client: FederationClient,
        gate: Gate,
        outliers: Outliers,
        turns: Turns[RoomID],
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._client = client
        self._gate = gate
        self._outliers = outliers
        self._turns = turns
        self._server_name = server_name

    def servers_for(self, event: Event, origin: ServerName, others: Iterable[ServerName]) -> list[ServerName]:
        """Whom to ask about what an event refers to: who sent it, who made it, and who else is there."""
        servers = dict.fromkeys([origin, event.domain, *others])
        servers.pop(self._server_name, None)
        return list(servers)[:MAX_SERVERS]

    async def fetch_auth_events(self, servers: Sequence[ServerName], event: Event) -> list[EventID]:
        """Have the event's auth events; gives those that nobody has."""
        missing = await self._outliers.missing(event.auth_events)
        for server in servers:
            if not missing:
                break
            try:
                pdus = await self._client.get_event_auth(server, event.room_id, event.event_id)
                await self._store(event.room_id, event.version, pdus)
            except RemoteError as error:
                _log.info("a server does not tell auth events", server=server, reason=str(error))
            missing = await self._outliers.missing(event.auth_events)
            if missing:
                await self.fetch_events(server, event.room_id, event.version, missing)
                missing = await self._outliers.missing(event.auth_events)
        return missing

    async def missing_events(
        self,
        server: ServerName,
        room_id: RoomID,
        version: RoomVersion,
        *,
        earliest: Collection[EventID],
        latest: Collection[EventID],
    ) -> list[Event]:
        """The events between, as far as the server tells them at once.

        Raises:
            RemoteError: it tells nothing.
        """
        pdus = await self._client.get_missing_events(
            server, room_id, earliest=earliest, latest=latest, limit=MISSING_PER_ROUND
        )
        checked = await self._gate.check(pdus[:MISSING_PER_ROUND], version, room_id)
        return checked.events

    async def fetch_events(
        self, server: ServerName, room_id: RoomID, version: RoomVersion, event_ids: Sequence[EventID]
    ) -> None:
        """Store single events as outliers, as far as the server has them and theirs."""
        fetched: dict[EventID, Event] = {}
        wanted = list(event_ids)[:SINGLY]
        for _ in range(SINGLY):
            if not wanted or len(fetched) > 10 * SINGLY:
                break
            for event in await self._fetch_all(server, room_id, version, wanted):
                fetched[event.event_id] = event
            cited = {each for event in fetched.values() for each in event.auth_events} - fetched.keys()
            wanted = [each for each in await self._outliers.missing(cited) if each not in wanted]
        await self._keep(room_id, version, fetched.values())

    async def _fetch_all(
        self, server: ServerName, room_id: RoomID, version: RoomVersion, event_ids: Sequence[EventID]
    ) -> list[Event]:
        semaphore = DeferredSemaphore(PARALLEL)

        def start(event_id: EventID) -> Deferred[Event | None]:
            return Deferred.fromCoroutine(self._fetch_one(server, room_id, version, event_id))

        found = await gatherResults([semaphore.run(start, each) for each in event_ids], consumeErrors=True)
        return [event for event in found if event is not None]

    async def _fetch_one(
        self, server: ServerName, room_id: RoomID, version: RoomVersion, event_id: EventID
    ) -> Event | None:
        try:
            pdu = await self._client.get_event(server, event_id)
            event = await self._gate.check_one(pdu, version, room_id)
        except (RemoteError, EventError, HearthError) as error:
            _log.info("a server does not tell an event", server=server, event_id=event_id, reason=str(error))
            return None
        return event if event.event_id == event_id else None

    async def told_state(self, servers: Sequence[ServerName], event: Event) -> NodeHash:
        """The state before an event, as the first server that knows it says; it is stored.

        Raises:
            RemoteError: no server tells it.
        """
        refusal: RemoteError = RemoteError(f"nobody is there to tell the state before {event.event_id}")
        for server in servers:
            try:
                return await self._told_state(server, event.room_id, event.version, event.event_id)
            except RemoteError as error:
                refusal = error
        raise refusal

    async def _told_state(
        self, server: ServerName, room_id: RoomID, version: RoomVersion, event_id: EventID
    ) -> NodeHash:
        answer = await self._client.get_room_state_ids(server, room_id, event_id)
        state_ids = [EventID(each) for each in answer.pdu_ids]
        wanted = dict.fromkeys([*state_ids, *(EventID(each) for each in answer.auth_chain_ids)])
        missing = await self._outliers.missing(wanted.keys())
        if missing and len(missing) <= SINGLY:
            await self.fetch_events(server, room_id, version, missing)
            missing = await self._outliers.missing(state_ids)
        if missing:
            state = await self._client.get_room_state(server, room_id, event_id)
            await self._store(room_id, version, [*state.auth_chain, *state.pdus])
            # What is missing now has come, and is no event.
            refused = await self._outliers.missing(state_ids)
            if refused:
                _log.info("a told state has what is no event", server=server, event_ids=refused[:10])
        root = await self._db.run(_plant, room_id, state_ids)
        if root is None:
            raise RemoteError(f"{server} tells a state of {room_id} without a create event")
        return root

    async def _store(self, room_id: RoomID, version: RoomVersion, pdus: Sequence[object]) -> None:
        checked = await self._gate.check(pdus, version, room_id)
        if checked.unverified:
            raise RemoteError(f"the keys for {len(checked.unverified)} events of {room_id} cannot be had now")
        await self._keep(room_id, version, checked.events)

    async def _keep(self, room_id: RoomID, version: RoomVersion, events: Iterable[Event]) -> None:
        async with self._turns.of(room_id):
            await self._outliers.store(room_id, version, events)


def _plant(txn: Transaction, room_id: RoomID, state_ids: Collection[EventID]) -> NodeHash | None:
    """Store the state tree of these events, those that are here and were not rejected; None without a create event."""
    room = room_rows.number_of(txn, room_id)
    entries = {}
    has_create = False
    for row in event_rows.by_id(txn, state_ids).values():
        if row.room != room or row.flags & EventFlag.REJECTED:
            continue
        key = event_rows.key_of(row)
        if key is not None:
            entries[key_hash(*key)] = row.number
            has_create = has_create or key == ("m.room.create", "")
    if not has_create:
        return None
    root, nodes = state_tree.update(state_tree.EMPTY, entries, _nothing)
    room_rows.save_state_nodes(txn, room, nodes)
    return root


def _nothing(node: NodeHash) -> bytes:
    raise KeyError(f"the state is new, and has no node {node.hex()}")
