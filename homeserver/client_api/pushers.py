"""Pushers, and what has notified the user.

Spec: https://spec.matrix.org/v1.19/client-server-api/#push-notifications
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from homeserver.errors import InvalidParam, MissingParam
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, RawJson
from homeserver.push.notified import NEWEST, Notifications, actions_of
from homeserver.push.pushers import Pushers
from storage.pushers import PusherKey, PusherRow

MAX_NOTIFICATIONS = 500
T = TypeVar("T")
MSC3881 = "org.matrix.msc3881."


class SetPusher(msgspec.Struct, kw_only=True, rename={"unstable_enabled": f"{MSC3881}enabled"}):
    """A pusher as it is to be; without a `kind` it is to be removed."""

    app_id: str
    pushkey: str
    kind: str | None
    app_display_name: str | None = None
    device_display_name: str | None = None
    profile_tag: str | None = None
    lang: str | None = None
    data: dict[str, Any] | None = None
    append: bool = False
    enabled: bool | None = None
    unstable_enabled: bool | None = None


class NotificationsQuery(msgspec.Struct, rename={"from_": "from"}):
    """From where on (back), how many, and whether only those that were highlighted."""

    from_: str | None = None
    limit: int = 20
    only: str | None = None


class PusherEndpoints:
    """Serves pushers and notifications."""

    def __init__(self, pushers: Pushers, notifications: Notifications) -> None:
        self._pushers = pushers
        self._notifications = notifications

    @endpoint("GET", "/_matrix/client/v3/pushers")
    async def get_pushers(self, who: Requester) -> dict[str, Any]:
        """The user's pushers.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
        """
        return {"pushers": [_shown(pusher) for pusher in await self._pushers.list_of_user(who.user_id)]}

    @endpoint("POST", "/_matrix/client/v3/pushers/set", rate_limit=RateLimit("pushers"))
    async def post_pusher(self, who: Requester, body: SetPusher) -> Empty:
        """Add, change or remove a pusher.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
        """
        if body.kind is None:
            await self._pushers.delete(PusherKey(who.user_id, body.app_id, body.pushkey))
            return Empty()
        enabled = body.unstable_enabled if body.enabled is None else body.enabled
        pusher = PusherRow(
            who.user_id,
            body.app_id,
            body.pushkey,
            body.kind,
            who.device_id,
            _present(body.app_display_name, "app_display_name"),
            _present(body.device_display_name, "device_display_name"),
            body.profile_tag,
            _present(body.lang, "lang"),
            msgspec.json.encode(_present(body.data, "data")),
            enabled is not False,
            created_ms=0,
        )
        await self._pushers.save(pusher, append=body.append)
        return Empty()

    @endpoint("GET", "/_matrix/client/v3/notifications", rate_limit=RateLimit("reading"))
    async def get_notifications(self, who: Requester, query: NotificationsQuery) -> RawJson:
        """What has notified the user, newest first.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications
        """
        if query.from_ is not None and not (query.from_.isdecimal() and len(query.from_) < 19):
            raise InvalidParam("from: this is not a token of this server")
        page = await self._notifications.page(
            who.user_id,
            who.device_id,
            before=NEWEST if query.from_ is None else int(query.from_),
            limit=min(max(query.limit, 1), MAX_NOTIFICATIONS),
            highlights=query.only == "highlight",
        )
        shown = [
            b'{"actions":%b,"event":%b,"read":%b,"room_id":%b,"ts":%d}'
            % (
                msgspec.json.encode(actions_of(one.outcome)),
                event,
                b"true" if one.read else b"false",
                msgspec.json.encode(one.room_id),
                one.entry.event.origin_server_ts,
            )
            for one, event in page.notifications
        ]
        next_token = b"" if page.next_token is None else b',"next_token":"%b"' % page.next_token.encode()
        return RawJson(b'{"notifications":[%b]%b}' % (b",".join(shown), next_token))


def _present(value: T | None, name: str) -> T:
    if value is None:
        raise MissingParam(f"{name} is missing")
    return value


def _shown(pusher: PusherRow) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "kind": pusher.kind,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": msgspec.json.decode(pusher.data),
        "enabled": pusher.enabled,
        f"{MSC3881}enabled": pusher.enabled,
    }
    if pusher.profile_tag is not None:
        shown["profile_tag"] = pusher.profile_tag
    if pusher.device_id is not None:
        shown["device_id"] = shown[f"{MSC3881}device_id"] = pusher.device_id
    return shown
