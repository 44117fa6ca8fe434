"""The ways of following that came before `/sync`, for clients that never learnt another.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
"""

from __future__ import annotations

import msgspec

from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.ids import EventID, RoomID
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.tokens import parse_token
from homeserver.sync.clients import SyncClients
from homeserver.sync.event_stream import EventStream
from homeserver.sync.initial import InitialSync


class InitialSyncQuery(msgspec.Struct):
    """How many messages of each room, and whether those that the user has left are wanted."""

    limit: int = 10
    archived: bool = False


class EventsQuery(msgspec.Struct, rename={"from_": "from"}):
    """From where on, for how long (ms), and of which room if not of all."""

    from_: str | None = None
    timeout: int = 0
    room_id: RoomID | None = None


class InitialSyncEndpoints:
    """Serves `/initialSync` and `/events`."""

    def __init__(
        self,
        initial: InitialSync,
        stream: EventStream,
        clients: SyncClients,
        access: RoomAccess,
        bundles: Bundles,
    ) -> None:
        self._initial = initial
        self._stream = stream
        self._clients = clients
        self._access = access
        self._bundles = bundles

    @endpoint("GET", "/_matrix/client/v3/initialSync", rate_limit=RateLimit("reading"))
    async def initial_sync(self, who: Requester, query: InitialSyncQuery) -> RawJson:
        """Everything that the user has.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
        """
        return RawJson(await self._initial.whole(who, limit=query.limit, archived=query.archived))

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/initialSync", guests=True)
    async def room_initial_sync(self, who: Requester, room_id: RoomID, query: InitialSyncQuery) -> RawJson:
        """Everything of one room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync
        """
        return RawJson(await self._initial.of_room(who, room_id, limit=query.limit))

    @endpoint("GET", "/_matrix/client/v3/events", guests=True)
    async def get_events(self, who: Requester, query: EventsQuery, request: Request) -> RawJson:
        """New events of the user's rooms, or of one room that may be looked into.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
        """
        since = None if query.from_ is None else parse_token(query.from_, name="from")
        with self._clients.watch(who) as watch:
            return RawJson(
                await self._stream.poll(
                    who, since, query.timeout, watch, request.on_disconnect, query.room_id
                )
            )

    @endpoint("GET", "/_matrix/client/v3/events/{event_id}", guests=True)
    async def get_one_event(self, who: Requester, event_id: EventID) -> RawJson:
        """One event, of whichever room.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3eventseventid
        """
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        (event,) = await self._bundles.json(room, [entry], who.user_id, who.device_id)
        return RawJson(event)
