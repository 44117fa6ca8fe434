"""Thread subscriptions. Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4306 and /4308"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, RoomID
from homeserver.rooms.thread_subscriptions import ThreadSubscriptions
from homeserver.rooms.tokens import StreamToken, parse_token
from homeserver.runtime.notifier import Notifier
from homeserver.sync.sliding.threads import by_room

MAX_LIMIT = 500
PATH = "/_matrix/client/v1/rooms/{room_id}/thread/{root}/subscription"
UNSTABLE = "/_matrix/client/unstable/io.element.msc4306/rooms/{room_id}/thread/{root}/subscription"


class SubscribeBody(msgspec.Struct):
    """`automatic` is the event for which a client subscribes by itself."""

    automatic: EventID | None = None


class Subscription(msgspec.Struct):
    automatic: bool


class ChangesQuery(msgspec.Struct, rename={"from_": "from"}):
    dir: Literal["b"] = "b"
    from_: str | None = None
    to: str | None = None
    limit: int = 100


class ThreadSubscriptionEndpoints:
    """Serves subscriptions."""

    def __init__(self, subscriptions: ThreadSubscriptions, notifier: Notifier) -> None:
        self._subscriptions = subscriptions
        self._notifier = notifier

    @endpoint("GET", PATH, aliases=(UNSTABLE,))
    async def get_thread_subscription(self, who: Requester, room_id: RoomID, root: EventID) -> Subscription:
        """Whether one follows a thread, and why.

        Spec: https://spec.matrix.org/unstable/ (MSC4306)
        """
        found = await self._subscriptions.load(who.user_id, room_id, root)
        return Subscription(found.automatic)

    @endpoint("PUT", PATH, aliases=(UNSTABLE,))
    async def subscribe_to_thread(
        self, who: Requester, room_id: RoomID, root: EventID, body: SubscribeBody
    ) -> Empty:
        """Follow a thread.

        Spec: https://spec.matrix.org/unstable/ (MSC4306)
        """
        await self._subscriptions.subscribe(who.user_id, room_id, root, cause=body.automatic)
        return Empty()

    @endpoint("DELETE", PATH, aliases=(UNSTABLE,))
    async def unsubscribe_from_thread(self, who: Requester, room_id: RoomID, root: EventID) -> Empty:
        """Follow a thread no more.

        Spec: https://spec.matrix.org/unstable/ (MSC4306)
        """
        await self._subscriptions.unsubscribe(who.user_id, room_id, root)
        return Empty()

    @endpoint("GET", "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions")
    async def list_thread_subscription_changes(self, who: Requester, query: ChangesQuery) -> dict[str, Any]:
        """Changes that a sliding-sync answer had no room for.

        Spec: https://spec.matrix.org/unstable/ (MSC4308)
        """
        until = (
            self._notifier.position if query.from_ is None else parse_token(query.from_, name="from").position
        )
        after = 0 if query.to is None else parse_token(query.to, name="to").position
        limit = min(max(query.limit, 1), MAX_LIMIT)
        found = await self._subscriptions.changes(who.user_id, after=after, until=until, limit=limit + 1)
        answer = by_room(found[:limit])
        if len(found) > limit:
            answer["end"] = str(StreamToken(found[limit - 1].position - 1))
        return answer
