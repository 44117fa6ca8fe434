"""The devices that follow: their filters, whether they may go on, and that they were seen.

Spec: https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import msgspec

from homeserver.errors import BadJson, InvalidParam, MatrixError, NotFound
from homeserver.events.filters import Filter, parse_filter
from homeserver.http.requester import Requester
from homeserver.ids import UserID
from homeserver.sync.feeds import Feeds
from homeserver.sync.request import SyncRequest
from homeserver.users.session_events import SessionEvent, SessionEvents
from storage import filters as filter_rows
from storage.database import Database

REMEMBERED = 5_000

Received = Callable[[UserID, int], None]
"""Told that a device of a user has everything up to a position."""


class PresenceWatch(Protocol):
    """Told that a user's device is there, and how it wants to be shown."""

    def syncing(self, user_id: UserID, set_presence: str) -> None: ...


class Watch:
    """Watches over one waiting poll: has the session that asked ended meanwhile?"""

    __slots__ = ("_refusal", "_watches", "device_id", "user_id")

    def __init__(self, who: Requester, watches: dict[UserID, set[Watch]]) -> None:
        self.user_id = who.user_id
        self.device_id = who.device_id
        self._watches = watches
        self._refusal: MatrixError | None = None

    def __enter__(self) -> Watch:
        self._watches.setdefault(self.user_id, set()).add(self)
        return self

    def __exit__(self, *exc: object) -> None:
        watches = self._watches.get(self.user_id, set())
        watches.discard(self)
        if not watches:
            self._watches.pop(self.user_id, None)

    def end(self, refusal: MatrixError) -> None:
        """The session has ended, and that is what to say."""
        self._refusal = refusal

    def check(self) -> None:
        """
        Raises:
            UnknownToken: the session has ended.
            UserLocked: so it has until the account is unlocked.
        """
        if self._refusal is not None:
            raise self._refusal


class SyncClients:
    """What `/sync` and the sockets know of those who ask."""

    def __init__(self, db: Database, presence: PresenceWatch, sessions: SessionEvents, feeds: Feeds) -> None:
        self._db = db
        self._presence = presence
        self._feeds = feeds
        self._watches: dict[UserID, set[Watch]] = {}
        self._listeners: list[Received] = []
        sessions.subscribe(self._session_changed)
        self._default = parse_filter({})
        self._filters: OrderedDict[tuple[UserID, str], Filter] = OrderedDict()

    def find_filter(self, user_id: UserID, asked: str | None) -> Filter | None:
        """The filter that a request names, if it needs no look at the database.

        Raises:
            BadJson: an inline filter is none.
        """
        if not asked:
            return self._default
        known = self._filters.get((user_id, asked))
        if known is not None:
            return known
        if not asked.startswith("{"):
            return None
        try:
            definition = msgspec.json.decode(asked.encode("utf-8", "surrogatepass"))
        except msgspec.DecodeError as error:
            raise BadJson(f"filter: {error}") from None
        return self._remember(user_id, asked, parse_filter(definition))

    async def load_filter(self, user_id: UserID, asked: str | None) -> Filter:
        """The filter that a request names by its ID.

        Raises:
            InvalidParam: this is no filter ID.
            NotFound: the user has no such filter.
        """
        if not asked or not asked.isdecimal() or len(asked) > 18:
            raise InvalidParam("filter must be a filter ID or a JSON object")
        definition = await self._db.read(filter_rows.find, user_id, int(asked))
        if definition is None:
            raise NotFound(f"no filter {asked}")
        return self._remember(user_id, asked, parse_filter(msgspec.json.decode(definition)))

    def _remember(self, user_id: UserID, asked: str, parsed: Filter) -> Filter:
        self._filters[user_id, asked] = parsed
        while len(self._filters) > REMEMBERED:
            self._filters.popitem(last=False)
        return parsed

    def seen(self, request: SyncRequest, set_presence: str) -> None:
        """The device is there, and has what came before the place from which it asks."""
        self._presence.syncing(request.user_id, set_presence)
        if request.since is not None and request.is_acknowledged:
            for listener in self._listeners:
                listener(request.user_id, request.since.position)

    def subscribe(self, listener: Received) -> None:
        """Be told what devices have received. It must be cheap: every poll says so."""
        self._listeners.append(listener)

    def watch(self, who: Requester) -> Watch:
        """For the time of a poll: is the session still there when it wakes?"""
        return Watch(who, self._watches)

    def _session_changed(self, event: SessionEvent) -> None:
        if not event.has_ended:
            return
        for watch in list(self._watches.get(event.user_id, ())):
            if event.concerns(watch.user_id, watch.device_id):
                watch.end(event.refusal())
        feed = self._feeds.find(event.user_id)
        if feed is not None:
            feed.wake()
