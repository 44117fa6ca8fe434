"""Thread subscriptions beside the rooms of a sliding-sync answer (MSC4308)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homeserver.errors import InvalidParam
from homeserver.rooms.thread_subscriptions import ThreadSubscriptions
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.sliding.engine import Scope
from storage.thread_subscriptions import SubscriptionRow

NAME = "io.element.msc4308.thread_subscriptions"
MAX_LIMIT = 500


class ThreadSubscriptionsExtension:
    """What has changed since the last answer, the newest first; the rest is asked for elsewhere."""

    names = (NAME,)

    def __init__(self, subscriptions: ThreadSubscriptions) -> None:
        self._subscriptions = subscriptions

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        limit = config.get("limit", 100)
        if not isinstance(limit, int) or limit < 1:
            raise InvalidParam(f"{NAME}: limit must be a positive number")
        limit = min(limit, MAX_LIMIT)
        after = scope.progress.extensions.get(NAME, 0)
        until = scope.until.position
        scope.progress.extensions[NAME] = until
        found = await self._subscriptions.changes(
            scope.feed.user_id, after=after, until=until, limit=limit + 1
        )
        answer = by_room(found[:limit])
        if len(found) > limit:
            answer["prev_batch"] = str(StreamToken(found[limit - 1].position - 1))
        return answer, bool(found)


def by_room(found: Iterable[SubscriptionRow]) -> dict[str, Any]:
    """Changes as both endpoints show them."""
    subscribed: dict[str, dict[str, Any]] = {}
    unsubscribed: dict[str, dict[str, Any]] = {}
    for row in found:
        if row.subscribed:
            state = {"automatic": row.automatic, "bump_stamp": row.position}
            subscribed.setdefault(row.room_id, {})[row.root] = state
        else:
            unsubscribed.setdefault(row.room_id, {})[row.root] = {"bump_stamp": row.position}
    answer: dict[str, Any] = {}
    if subscribed:
        answer["subscribed"] = subscribed
    if unsubscribed:
        answer["unsubscribed"] = unsubscribed
    return answer
