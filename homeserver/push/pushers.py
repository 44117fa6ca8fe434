"""A user's pushers: setting, listing and removing them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from homeserver.errors import InvalidParam
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from storage import pushers as rows
from storage.database import Database
from storage.pushers import PusherKey, PusherRow
from storage.transaction import Transaction

GATEWAY_PATH = "/_matrix/push/v1/notify"
MAX_APP_ID = 64
MAX_PUSHKEY_BYTES = 512
MAX_DATA_BYTES = 16 * 1024

KindCheck = Callable[[UserID, str, Mapping[str, Any]], Awaitable[None]]
"""Told (user, pushkey, data) of a new pusher of some kind; raises what is wrong with it."""


async def check_http(user_id: UserID, pushkey: str, data: Mapping[str, Any]) -> None:
    """Refuse data that name no push gateway.

    Raises:
        InvalidParam: they do not.
    """
    url = data.get("url")
    if not isinstance(url, str):
        raise InvalidParam("data.url is missing")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise InvalidParam("data.url is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise InvalidParam("data.url is not an HTTP URL")
    if parts.path != GATEWAY_PATH:
        raise InvalidParam(f"data.url must have the path {GATEWAY_PATH}")


class Pushers:
    """The pushers of this server; whoever pushes is told of changes by `subscribe`."""

    def __init__(self, db: Database, clock: Clock, kinds: Mapping[str, KindCheck]) -> None:
        self._db = db
        self._clock = clock
        self._kinds = kinds
        self._listeners: list[Callable[[PusherKey, PusherRow | None], None]] = []
        self._forgetters: list[Callable[[PusherKey], None]] = []

    def subscribe(
        self,
        changed: Callable[[PusherKey, PusherRow | None], None],
        others_gone: Callable[[PusherKey], None],
    ) -> None:
        """`changed` hears of a pusher that is new or gone (None), `others_gone` that it is nobody else's any more."""
        self._listeners.append(changed)
        self._forgetters.append(others_gone)

    async def list_of_user(self, user_id: UserID) -> list[PusherRow]:
        return await self._db.read(rows.list_of_user, user_id)

    async def save(self, pusher: PusherRow, *, append: bool) -> None:
        """Add a pusher, or change it; without `append` other users are no longer pushed to there.

        Raises:
            InvalidParam: something about it is not as it must be.
        """
        check = self._kinds.get(pusher.kind)
        if check is None:
            raise InvalidParam(f"kind: this server has no pushers of the kind {pusher.kind!r}")
        _check_key(pusher.app_id, pusher.pushkey)
        if len(pusher.data) > MAX_DATA_BYTES:
            raise InvalidParam("data is too large")
        await check(pusher.user_id, pusher.pushkey, msgspec.json.decode(pusher.data))
        kept = await self._db.run(_save, pusher._replace(created_ms=self._clock.now_ms()), append=append)
        if not append:
            for forget in self._forgetters:
                forget(pusher.key)
        for listener in self._listeners:
            listener(pusher.key, kept)

    async def delete(self, key: PusherKey) -> None:
        """Remove a pusher; one that does not exist is gone already."""
        await self._db.run(rows.delete, key)
        for listener in self._listeners:
            listener(key, None)


def _check_key(app_id: str, pushkey: str) -> None:
    if not app_id or len(app_id) > MAX_APP_ID:
        raise InvalidParam(f"app_id must have 1 to {MAX_APP_ID} characters")
    if not pushkey or len(pushkey.encode("utf-8", "surrogatepass")) > MAX_PUSHKEY_BYTES:
        raise InvalidParam(f"pushkey must have 1 to {MAX_PUSHKEY_BYTES} bytes")


def _save(txn: Transaction, pusher: PusherRow, *, append: bool) -> PusherRow:
    if not append:
        rows.delete_of_others(txn, pusher.key)
    before: Iterable[PusherRow] = rows.list_of_user(txn, pusher.user_id)
    for old in before:
        if old.key == pusher.key:
            # What had to be pushed still has to be.
            pusher = pusher._replace(
                created_ms=old.created_ms,
                last_success_ms=old.last_success_ms,
                place=old.place,
                failing_since_ms=old.failing_since_ms,
            )
    rows.save(txn, pusher)
    return pusher
