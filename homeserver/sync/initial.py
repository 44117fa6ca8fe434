"""The old way to begin: everything at once, or one room, as lists of events.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from homeserver.errors import Forbidden
from homeserver.events.client_format import client_event_json
from homeserver.events.event import Event
from homeserver.events.filters import parse_filter
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, StateKey
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.directory import Directory
from homeserver.rooms.history import History
from homeserver.rooms.tokens import StreamToken
from homeserver.runtime.notifier import Notifier
from homeserver.sync.composer import Extras
from homeserver.sync.feeds import Feeds, RoomView
from homeserver.sync.own_data import StoredOwnData
from homeserver.sync.request import SyncRequest

_encode = msgspec.json.encode
_EVERYTHING = parse_filter({})
MAX_MESSAGES = 100


class RoomSnapshots:
    """One room as a user may see it now, or saw it last."""

    def __init__(
        self, access: RoomAccess, history: History, directory: Directory, own: StoredOwnData
    ) -> None:
        self._access = access
        self._history = history
        self._directory = directory
        self._own = own

    async def json(
        self,
        who: Requester,
        room_id: RoomID,
        view: RoomView | None,
        limit: int,
        account_data: Sequence[bytes],
    ) -> bytes:
        """The room with its state and up to `limit` messages.

        Raises:
            Forbidden: the user may not look into it.
        """
        sight = await self._access.sight(room_id, who.user_id)
        page = await self._history.newest(
            sight.room,
            who.user_id,
            until=sight.position,
            after=None,
            limit=min(max(limit, 0), MAX_MESSAGES),
            ignored=await self._own.load_ignored(who.user_id),
        )
        start = page.events[0].position - 1 if page.events else sight.position
        published = await self._directory.is_published(room_id)
        parts = [
            b'"room_id":%b' % _encode(room_id),
            b'"messages":{"chunk":[%b],"start":%b,"end":%b}'
            % (
                b",".join([event.json_for(who.user_id, who.device_id) for event in page.events]),
                _encode(str(StreamToken(start))),
                _encode(str(StreamToken(sight.position))),
            ),
            b'"state":[%b]' % b",".join(_state(sight.state)),
            b'"visibility":"public"' if published else b'"visibility":"private"',
            b'"account_data":[%b]' % b",".join(account_data),
        ]
        if view is not None:
            parts.append(b'"membership":%b' % _encode(view.membership))
        return b"{%b}" % b",".join(parts)


class InitialSync:
    """Composes these answers; nothing of them is kept, since hardly anybody asks."""

    def __init__(
        self,
        feeds: Feeds,
        snapshots: RoomSnapshots,
        own: StoredOwnData,
        notifier: Notifier,
        presence: Extras,
    ) -> None:
        self._feeds = feeds
        self._snapshots = snapshots
        self._own = own
        self._notifier = notifier
        self._presence = presence

    async def whole(self, who: Requester, *, limit: int, archived: bool) -> bytes:
        """Every room of the user, with its state and up to `limit` messages."""
        feed = await self._feeds.open(who.user_id)
        request = SyncRequest(who.user_id, who.device_id, _EVERYTHING)
        until = StreamToken(self._notifier.position, self._notifier.ephemeral)
        account, by_room = await self._own.account_data(request)
        rooms: list[bytes] = []
        for room_id, view in list(feed.rooms.items()):
            if view.membership in ("leave", "ban") and not archived:
                continue
            if view.membership in ("invite", "knock"):
                rooms.append(_encode({"room_id": room_id, "membership": view.membership}))
                continue
            try:
                rooms.append(await self._snapshots.json(who, room_id, view, limit, by_room.get(room_id, ())))
            except Forbidden:
                # Who leaves an invitation behind has a room in their feed that was never theirs to see.
                continue
        presence = await self._presence.sections(feed, request, until)
        events = b",".join(_events_of(section) for section in presence.parts)
        return b'{"end":%b,"rooms":[%b],"presence":[%b],"account_data":[%b]}' % (
            _encode(str(until)),
            b",".join(rooms),
            events,
            b",".join(account),
        )

    async def of_room(self, who: Requester, room_id: RoomID, *, limit: int) -> bytes:
        """One room that the user may look into.

        Raises:
            Forbidden: they may not.
        """
        feed = await self._feeds.open(who.user_id)
        _, by_room = await self._own.account_data(SyncRequest(who.user_id, who.device_id, _EVERYTHING))
        return await self._snapshots.json(
            who, room_id, feed.rooms.get(room_id), limit, by_room.get(room_id, ())
        )


def _state(state: Mapping[StateKey, Event]) -> list[bytes]:
    return [client_event_json(event, None) for event in state.values()]


def _events_of(section: bytes) -> bytes:
    """What stands between the brackets of `"presence":{"events":[...]}`."""
    return section.partition(b"[")[2].rpartition(b"]")[0]
