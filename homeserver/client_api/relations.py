"""Relations and threads. Spec: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events"""

from __future__ import annotations

from typing import Literal

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.ids import EventID, RoomID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.related import Related
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.sync.own_data import StoredOwnData

MAX_LIMIT = 200


class RelationsQuery(msgspec.Struct, rename={"from_": "from"}):
    dir: Literal["b", "f"] = "b"
    from_: str | None = None
    to: str | None = None
    limit: int = 50
    recurse: bool = False


class ThreadsQuery(msgspec.Struct, rename={"from_": "from"}):
    from_: str | None = None
    include: Literal["all", "participated"] = "all"
    limit: int = 20


class RelationEndpoints:
    """Serves what relates to an event, and the threads of a room."""

    def __init__(self, access: RoomAccess, related: Related, bundles: Bundles, own: StoredOwnData) -> None:
        self._access = access
        self._related = related
        self._bundles = bundles
        self._own = own

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}",
        guests=True,
        aliases=("/_matrix/client/unstable/rooms/{room_id}/relations/{event_id}",),
    )
    async def get_relating_events(
        self, who: Requester, room_id: RoomID, event_id: EventID, query: RelationsQuery
    ) -> RawJson:
        """Everything that relates to an event.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
        """
        return await self._relating(who, room_id, event_id, query)

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}",
        guests=True,
        aliases=("/_matrix/client/unstable/rooms/{room_id}/relations/{event_id}/{rel_type}",),
    )
    async def get_relating_events_with_rel_type(
        self, who: Requester, room_id: RoomID, event_id: EventID, rel_type: str, query: RelationsQuery
    ) -> RawJson:
        """What relates to an event in one way.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltype
        """
        return await self._relating(who, room_id, event_id, query, rel_type=rel_type)

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",
        guests=True,
        aliases=("/_matrix/client/unstable/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",),
    )
    async def get_relating_events_with_rel_type_and_event_type(
        self,
        who: Requester,
        room_id: RoomID,
        event_id: EventID,
        rel_type: str,
        event_type: str,
        query: RelationsQuery,
    ) -> RawJson:
        """The events of one type that relate to an event in one way.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltypeeventtype
        """
        return await self._relating(who, room_id, event_id, query, rel_type=rel_type, event_type=event_type)

    async def _relating(
        self,
        who: Requester,
        room_id: RoomID,
        event_id: EventID,
        query: RelationsQuery,
        *,
        rel_type: str | None = None,
        event_type: str | None = None,
    ) -> RawJson:
        room, _ = await self._access.event(room_id, event_id, who.user_id)
        page = await self._related.to_event(
            room,
            who.user_id,
            event_id,
            rel_type=rel_type,
            event_type=event_type,
            backwards=query.dir == "b",
            start=None if query.from_ is None else parse_token(query.from_, name="from").position,
            to=None if query.to is None else parse_token(query.to, name="to").position,
            limit=min(max(query.limit, 1), MAX_LIMIT),
            recurse=query.recurse,
            ignored=await self._own.load_ignored(who.user_id),
        )
        chunk = await self._bundles.json(room, page.events, who.user_id, who.device_id)
        parts = [b'"chunk":[%b]' % b",".join(chunk)]
        if page.next is not None:
            parts.append(b'"next_batch":"%b"' % str(StreamToken(page.next)).encode())
        if query.from_ is not None:
            parts.append(b'"prev_batch":%b' % msgspec.json.encode(query.from_))
        if query.recurse:
            parts.append(b'"recursion_depth":%d' % self._related.MAX_DEPTH)
        return RawJson(b"{%b}" % b",".join(parts))

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/threads",
        rate_limit=RateLimit("reading"),
        guests=True,
        aliases=("/_matrix/client/unstable/org.matrix.msc3856/rooms/{room_id}/threads",),
    )
    async def get_thread_roots(self, who: Requester, room_id: RoomID, query: ThreadsQuery) -> RawJson:
        """The room's threads by their roots, the one that moved last first.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
        """
        sight = await self._access.sight(room_id, who.user_id)
        page = await self._related.threads(
            sight.room,
            who.user_id,
            start=None if query.from_ is None else parse_token(query.from_, name="from").position,
            limit=min(max(query.limit, 1), MAX_LIMIT),
            participated=query.include == "participated",
            ignored=await self._own.load_ignored(who.user_id),
        )
        chunk = await self._bundles.json(sight.room, page.events, who.user_id, who.device_id)
        parts = [b'"chunk":[%b]' % b",".join(chunk)]
        if page.next is not None:
            parts.append(b'"next_batch":"%b"' % str(StreamToken(page.next)).encode())
        return RawJson(b"{%b}" % b",".join(parts))
