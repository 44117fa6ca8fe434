"""Searching for messages and for users.

Spec: https://spec.matrix.org/v1.19/client-server-api/#server-side-search
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import Forbidden
from homeserver.events.client_format import client_event_json
from homeserver.events.filters import parse_room_event_filter
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import RawJson
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.search import (
    KEYS,
    MAX_RESULTS,
    Found,
    Result,
    Search,
    SearchRequest,
    groups_of,
    state_rooms,
)
from homeserver.rooms.search_context import ContextWish, SearchContexts
from homeserver.rooms.user_directory import UserDirectory

_encode = msgspec.json.encode


class EventContext(msgspec.Struct):
    """How much around a result is wanted."""

    before_limit: int = 5
    after_limit: int = 5
    include_profile: bool = False


class GroupKey(msgspec.Struct):
    key: Literal["room_id", "sender"]


class Groupings(msgspec.Struct):
    group_by: list[GroupKey] = []


class RoomEvents(msgspec.Struct):
    """What is searched in rooms."""

    search_term: str
    keys: list[str] | None = None
    filter: dict[str, Any] = {}
    order_by: Literal["recent", "rank"] = "rank"
    event_context: EventContext | None = None
    include_state: bool = False
    groupings: Groupings = msgspec.field(default_factory=Groupings)


class Categories(msgspec.Struct):
    room_events: RoomEvents | None = None


class SearchBody(msgspec.Struct):
    search_categories: Categories


class SearchQuery(msgspec.Struct):
    next_batch: str | None = None


class UserSearch(msgspec.Struct):
    """A name, or a part of one."""

    search_term: str
    limit: int = 10


class SearchEndpoints:
    """Serves searches."""

    def __init__(
        self,
        search: Search,
        contexts: SearchContexts,
        access: RoomAccess,
        directory: UserDirectory,
        *,
        enabled: bool,
    ) -> None:
        self._search = search
        self._contexts = contexts
        self._access = access
        self._directory = directory
        self._enabled = enabled

    @endpoint("POST", "/_matrix/client/v3/search", rate_limit=RateLimit("search"))
    async def search(self, who: Requester, query: SearchQuery, body: SearchBody) -> RawJson:
        """Messages, names and topics that have some words.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3search
        """
        if not self._enabled:
            raise Forbidden("searching messages is switched off on this server")
        wish = body.search_categories.room_events
        if wish is None:
            return RawJson(b'{"search_categories":{}}')
        wanted = parse_room_event_filter(wish.filter)
        rooms = wish.filter.get("rooms")
        request = SearchRequest(
            who.user_id,
            wish.search_term,
            list(KEYS) if wish.keys is None else wish.keys,
            wanted,
            rooms if isinstance(rooms, list) else None,
            max(1, min(wanted.limit, MAX_RESULTS)),
            by_rank=wish.order_by == "rank",
            token=query.next_batch,
        )
        found = await self._search.search(request)
        results = [await self._result(who, one, wish.event_context) for one in found.results]
        parts = [
            b'"count":%d' % found.count,
            b'"highlights":%b' % _encode(found.words),
            b'"results":[%b]' % b",".join(results),
        ]
        if wish.groupings.group_by:
            groups = groups_of(found, [one.key for one in wish.groupings.group_by])
            parts.append(b'"groups":%b' % _encode(groups))
        if wish.include_state:
            parts.append(b'"state":{%b}' % await self._state(who, found))
        if found.next_batch is not None:
            parts.append(b'"next_batch":%b' % _encode(found.next_batch))
        return RawJson(b'{"search_categories":{"room_events":{%b}}}' % b",".join(parts))

    async def _result(self, who: Requester, result: Result, wish: EventContext | None) -> bytes:
        shown = result.entry.json_for(who.user_id, who.device_id)
        if wish is None:
            return b'{"rank":%b,"result":%b}' % (_encode(result.rank), shown)
        limits = ContextWish(wish.before_limit, wish.after_limit, wish.include_profile)
        context = await self._contexts.json(who.user_id, who.device_id, result, limits)
        return b'{"rank":%b,"result":%b,"context":%b}' % (_encode(result.rank), shown, context)

    async def _state(self, who: Requester, found: Found) -> bytes:
        sections: list[bytes] = []
        for room_id in state_rooms(found):
            sight = await self._access.sight(room_id, who.user_id)
            events = [client_event_json(event, None) for event in sight.state.values()]
            sections.append(b"%b:[%b]" % (_encode(room_id), b",".join(events)))
        return b",".join(sections)

    @endpoint("POST", "/_matrix/client/v3/user_directory/search", rate_limit=RateLimit("search"))
    async def search_user_directory(self, who: Requester, body: UserSearch) -> dict[str, Any]:
        """Users whose name or ID has some words.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3user_directorysearch
        """
        found, limited = await self._directory.search(who.user_id, body.search_term, body.limit)
        results: list[dict[str, Any]] = []
        for user in found:
            shown = {
                "user_id": user.user_id,
                "display_name": user.display_name,
                "avatar_url": user.avatar_url,
            }
            results.append({key: value for key, value in shown.items() if value is not None})
        return {"results": results, "limited": limited}
