"""What other servers ask about our rooms' events and state.

Spec: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from homeserver.errors import NotFound
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import RawJson
from homeserver.ids import EventID, RoomID, ServerName
from homeserver.rooms.hosting import check_is_whole
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.past import Past
from homeserver.rooms.server_visibility import ServerVisibility
from homeserver.rooms.told import RoomTelling
from homeserver.runtime.clock import Clock

_HISTORY = RateLimit("federation")
MAX_BACKFILL = 100
MAX_MISSING = 20


class BackfillQuery(msgspec.Struct):
    """`v` are the events to begin with."""

    v: list[str]
    limit: int


class MissingEventsBody(msgspec.Struct):
    earliest_events: list[str]
    latest_events: list[str]
    limit: int = 10
    min_depth: int = 0


class StateQuery(msgspec.Struct):
    event_id: str


class TimestampQuery(msgspec.Struct):
    ts: int
    dir: Literal["f", "b"]


class StateIdsAnswer(msgspec.Struct):
    pdu_ids: list[EventID]
    auth_chain_ids: list[EventID]


class NearestEvent(msgspec.Struct):
    event_id: EventID
    origin_server_ts: int


class RoomHistoryEndpoints:
    """Serves events to servers that may see them."""

    def __init__(
        self,
        visibility: ServerVisibility,
        past: Past,
        telling: RoomTelling,
        clock: Clock,
        *,
        server_name: ServerName,
    ) -> None:
        self._visibility = visibility
        self._past = past
        self._telling = telling
        self._clock = clock
        self._server_name = server_name

    @endpoint("GET", "/_matrix/federation/v1/backfill/{room_id}", auth=Auth.FEDERATION, rate_limit=_HISTORY)
    async def backfill_room(self, origin: ServerName, room_id: RoomID, query: BackfillQuery) -> RawJson:
        """Events and what came before them.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid
        """
        room = await self._visibility.room_for(origin, room_id)
        limit = min(max(query.limit, 0), MAX_BACKFILL)
        events = await self._past.before(room, [EventID(each) for each in query.v[:MAX_BACKFILL]], limit)
        return self._transaction(await self._visibility.pdus(room, origin, events))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/get_missing_events/{room_id}",
        auth=Auth.FEDERATION,
        rate_limit=_HISTORY,
    )
    async def get_missing_previous_events(
        self, origin: ServerName, room_id: RoomID, body: MissingEventsBody
    ) -> RawJson:
        """Events between those that a server has and those that it has been told of.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid
        """
        room = await self._visibility.room_for(origin, room_id)
        events = await self._past.between(
            room,
            [EventID(each) for each in body.latest_events[:MAX_BACKFILL]],
            [EventID(each) for each in body.earliest_events],
            min(max(body.limit, 0), MAX_MISSING),
            body.min_depth,
        )
        return RawJson(b'{"events":[%b]}' % b",".join(await self._visibility.pdus(room, origin, events)))

    @endpoint("GET", "/_matrix/federation/v1/state/{room_id}", auth=Auth.FEDERATION, rate_limit=_HISTORY)
    async def get_room_state(self, origin: ServerName, room_id: RoomID, query: StateQuery) -> RawJson:
        """The state before an event, and what authorises it.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
        """
        room = await self._visibility.room_for(origin, room_id)
        await self._check_may_see(room, origin, EventID(query.event_id))
        check_is_whole(room)
        before = await self._telling.state_at(room, EventID(query.event_id))
        return RawJson(
            b'{"pdus":[%b],"auth_chain":[%b]}' % (b",".join(before.state), b",".join(before.auth_chain))
        )

    @endpoint("GET", "/_matrix/federation/v1/state_ids/{room_id}", auth=Auth.FEDERATION, rate_limit=_HISTORY)
    async def get_room_state_ids(
        self, origin: ServerName, room_id: RoomID, query: StateQuery
    ) -> StateIdsAnswer:
        """The same by event IDs.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1state_idsroomid
        """
        room = await self._visibility.room_for(origin, room_id)
        await self._check_may_see(room, origin, EventID(query.event_id))
        check_is_whole(room)
        state, chain = await self._telling.state_ids_before(room, EventID(query.event_id))
        return StateIdsAnswer(state, chain)

    @endpoint("GET", "/_matrix/federation/v1/event/{event_id}", auth=Auth.FEDERATION, rate_limit=_HISTORY)
    async def get_event(self, origin: ServerName, event_id: EventID) -> RawJson:
        """One event.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid
        """
        room_id = await self._telling.room_of(event_id)
        if room_id is None:
            raise NotFound(f"no event {event_id}")
        room = await self._visibility.room_for(origin, room_id)
        event = await self._past.event(room, event_id)
        if event is None:
            raise NotFound(f"no event {event_id}")
        pdus = await self._visibility.pdus(room, origin, [event])
        if not pdus:
            raise NotFound(f"no event {event_id}")
        return self._transaction(pdus)

    @endpoint(
        "GET",
        "/_matrix/federation/v1/event_auth/{room_id}/{event_id}",
        auth=Auth.FEDERATION,
        rate_limit=_HISTORY,
    )
    async def get_event_auth(self, origin: ServerName, room_id: RoomID, event_id: EventID) -> RawJson:
        """Everything that authorises an event.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1event_authroomideventid
        """
        room = await self._visibility.room_for(origin, room_id)
        await self._check_may_see(room, origin, event_id)
        chain = await self._telling.auth_chain(room, [event_id])
        return RawJson(b'{"auth_chain":[%b]}' % b",".join(event.json for event in chain))

    @endpoint(
        "GET",
        "/_matrix/federation/v1/timestamp_to_event/{room_id}",
        auth=Auth.FEDERATION,
        rate_limit=_HISTORY,
    )
    async def get_event_by_timestamp(
        self, origin: ServerName, room_id: RoomID, query: TimestampQuery
    ) -> NearestEvent:
        """The event closest to a time.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
        """
        room = await self._visibility.room_for(origin, room_id)
        found = await self._past.nearest(room, query.ts, forwards=query.dir == "f")
        if found is None or not (await self._visibility.shown(room, origin, [found]))[0][1]:
            raise NotFound(f"the room has no event in that direction from {query.ts}")
        return NearestEvent(found.event.event_id, found.event.origin_server_ts)

    async def _check_may_see(self, room: LiveRoom, origin: ServerName, event_id: EventID) -> None:
        event = await self._past.event(room, event_id)
        if event is None:
            raise NotFound(f"no event {event_id}")
        await self._visibility.check_may_see(room, origin, event)

    def _transaction(self, pdus: Iterable[bytes]) -> RawJson:
        head = msgspec.json.encode({"origin": self._server_name, "origin_server_ts": self._clock.now_ms()})
        return RawJson(b'%b,"pdus":[%b]}' % (head[:-1], b",".join(pdus)))
