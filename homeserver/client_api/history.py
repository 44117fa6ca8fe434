"""Reading rooms' pasts. Spec: https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import BadJson, NotFound
from homeserver.events.client_format import client_event_json
from homeserver.events.filters import RoomEventFilter, parse_room_event_filter
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.access import RoomAccess, Sight
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History, Page
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.sync.own_data import StoredOwnData

MAX_LIMIT = 1000


class MessagesQuery(msgspec.Struct, rename={"from_": "from"}):
    """`from` and `to` are tokens of `/sync` or of this endpoint."""

    dir: Literal["b", "f"]
    from_: str | None = None
    to: str | None = None
    limit: int = 10
    filter: str | None = None


class ContextQuery(msgspec.Struct):
    limit: int = 10
    filter: str | None = None


class MembersQuery(msgspec.Struct):
    at: str | None = None
    membership: Literal["join", "invite", "knock", "leave", "ban"] | None = None
    not_membership: Literal["join", "invite", "knock", "leave", "ban"] | None = None


class TimestampToEventQuery(msgspec.Struct):
    ts: int
    dir: Literal["b", "f"] = "f"


class NearestEvent(msgspec.Struct):
    event_id: EventID
    origin_server_ts: int


class JoinedMembers(msgspec.Struct):
    joined: dict[UserID, dict[str, Any]]


class HistoryEndpoints:
    """Serves events, pages of them, and who was there."""

    def __init__(
        self, access: RoomAccess, history: History, state_at: StateAt, bundles: Bundles, own: StoredOwnData
    ) -> None:
        self._access = access
        self._history = history
        self._state_at = state_at
        self._bundles = bundles
        self._own = own

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/messages", guests=True)
    async def get_room_events(self, who: Requester, room_id: RoomID, query: MessagesQuery) -> RawJson:
        """A page of the room's events, backwards or forwards from a place.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
        """
        sight = await self._access.sight(room_id, who.user_id)
        room = sight.room
        wanted = _filter(query.filter)
        limit = min(
            max(query.limit, 0), wanted.limit if query.filter and wanted.has_limit else MAX_LIMIT, MAX_LIMIT
        )
        ignored = await self._own.load_ignored(who.user_id)
        to = None if query.to is None else parse_token(query.to, name="to").position
        accept = None if wanted.is_default else wanted.matches_timeline
        if query.dir == "b":
            start = sight.position if query.from_ is None else parse_token(query.from_, name="from").position
            page = await self._history.backwards(
                room,
                who.user_id,
                start=min(start, sight.position),
                after=to,
                limit=limit,
                accept=accept,
                ignored=ignored,
            )
        else:
            start = -(2**62) if query.from_ is None else parse_token(query.from_, name="from").position
            until = sight.position if to is None else min(to, sight.position)
            page = await self._history.forwards(
                room,
                who.user_id,
                start=start,
                until=until,
                limit=limit,
                accept=accept,
                ignored=ignored,
            )
        events = await self._bundles.json(room, page.events, who.user_id, who.device_id)
        parts = [b'"chunk":[%b]' % b",".join(events), b'"start":"%b"' % str(StreamToken(start)).encode()]
        if page.more:
            parts.append(b'"end":"%b"' % str(StreamToken(page.end)).encode())
        if wanted.lazy_load_members:
            parts.append(b'"state":[%b]' % b",".join(_senders(sight, page)))
        return RawJson(b"{%b}" % b",".join(parts))

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/event/{event_id}", guests=True)
    async def get_one_room_event(self, who: Requester, room_id: RoomID, event_id: EventID) -> RawJson:
        """One event.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
        """
        room, entry = await self._access.event(room_id, event_id, who.user_id)
        (event,) = await self._bundles.json(room, [entry], who.user_id, who.device_id)
        return RawJson(event)

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/context/{event_id}", guests=True)
    async def get_event_context(
        self, who: Requester, room_id: RoomID, event_id: EventID, query: ContextQuery
    ) -> RawJson:
        """An event with those before and after it.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
        """
        room, entry = await self._access.event(room_id, event_id, who.user_id)
        wanted = _filter(query.filter)
        half = min(max(query.limit, 0), MAX_LIMIT) // 2
        ignored = await self._own.load_ignored(who.user_id)
        before = await self._history.backwards(
            room,
            who.user_id,
            start=entry.position - 1,
            after=None,
            limit=half,
            accept=wanted.matches_timeline,
            ignored=ignored,
        )
        after = await self._history.forwards(
            room,
            who.user_id,
            start=entry.position,
            until=room.position,
            limit=min(max(query.limit, 0), MAX_LIMIT) - half if query.limit else 0,
            accept=wanted.matches_timeline,
            ignored=ignored,
        )
        last = after.events[-1] if after.events else entry
        state = {} if last.state_before is None else dict(await self._state_at.at(room, last.state_before))
        if last.event.key is not None:
            state[last.event.key] = last.event
        if wanted.lazy_load_members:
            shown = {e.event.sender for e in (*before.events, entry, *after.events)}
            state = {key: each for key, each in state.items() if key[0] != "m.room.member" or key[1] in shown}

        async def encoded(events: list[TimelineEvent]) -> bytes:
            return b",".join(await self._bundles.json(room, events, who.user_id, who.device_id))

        return RawJson(
            b'{"start":"%b","end":"%b","event":%b,"events_before":[%b],"events_after":[%b],"state":[%b]}'
            % (
                str(StreamToken(before.end)).encode(),
                str(StreamToken(after.end)).encode(),
                await encoded([entry]),
                await encoded(before.events),
                await encoded(after.events),
                b",".join([client_event_json(each, None) for each in state.values()]),
            )
        )

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/members", guests=True)
    async def get_members_by_room(self, who: Requester, room_id: RoomID, query: MembersQuery) -> RawJson:
        """The member events of the room, now or at a place that a token names.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
        """
        sight = await self._access.sight(room_id, who.user_id, whole=True)
        state = sight.state
        if query.at is not None:
            position = min(parse_token(query.at, name="at").position, sight.position)
            root = await self._history.root_after(sight.room, position)
            state = sight.state if root is None else await self._state_at.at(sight.room, root)
        members: list[bytes] = []
        for key, event in state.items():
            if key[0] == "m.room.member":
                membership = event.content.get("membership")
                if query.membership is not None and membership != query.membership:
                    continue
                if query.not_membership is not None and membership == query.not_membership:
                    continue
                members.append(client_event_json(event, None))
        return RawJson(b'{"chunk":[%b]}' % b",".join(members))

    @endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/joined_members", guests=True)
    async def get_joined_members_by_room(self, who: Requester, room_id: RoomID) -> JoinedMembers:
        """Who is in the room, with the names and pictures that they have there.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members
        """
        room = await self._access.joined(room_id, who.user_id, whole=True)
        joined: dict[UserID, dict[str, Any]] = {}
        for user in room.joined:
            content = room.content("m.room.member", user)
            member = {"display_name": content.get("displayname"), "avatar_url": content.get("avatar_url")}
            joined[user] = {key: value for key, value in member.items() if isinstance(value, str)}
        return JoinedMembers(joined)

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event",
        rate_limit=RateLimit("reading"),
        guests=True,
        aliases=("/_matrix/client/unstable/org.matrix.msc3030/rooms/{room_id}/timestamp_to_event",),
    )
    async def get_event_by_timestamp(
        self, who: Requester, room_id: RoomID, query: TimestampToEventQuery
    ) -> NearestEvent:
        """The event closest to a time.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
        """
        sight = await self._access.sight(room_id, who.user_id)
        entry = await self._history.nearest(sight.room, who.user_id, query.ts, forwards=query.dir == "f")
        if entry is None:
            raise NotFound(f"the room has no event in that direction from {query.ts}")
        return NearestEvent(entry.event.event_id, entry.event.origin_server_ts)


_EVERYTHING = parse_room_event_filter({})


def _filter(raw: str | None) -> RoomEventFilter:
    if raw is None or raw == "":
        return _EVERYTHING
    try:
        decoded = msgspec.json.decode(raw.encode("utf-8", "surrogatepass"))
    except msgspec.DecodeError as error:
        raise BadJson(f"filter: {error}") from None
    return parse_room_event_filter(decoded)


def _senders(sight: Sight, page: Page) -> list[bytes]:
    shown = {event.event.sender for event in page.events}
    members = (sight.state.get(("m.room.member", user)) for user in shown)
    return [client_event_json(member, None) for member in members if member is not None]
