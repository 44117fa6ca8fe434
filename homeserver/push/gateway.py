"""What a push gateway is told of an event, and what it says to that.

Spec: https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from homeserver.http.wire import encode_json
from homeserver.ids import UserID
from homeserver.push.notified import outcome_of
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.unread import HIGHLIGHT, SOUND
from storage.pushers import PusherRow

MAX_ANSWER_BYTES = 64 * 1024
EVENT_ID_ONLY = "event_id_only"


class Http(Protocol):
    """The way to gateways, through the gate: their addresses are what users say."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int | None = None,
        timeout_ms: int | None = None,
    ) -> Answer:
        """
        Raises:
            RemoteError: there was no answer.
        """
        ...


class NoHttp:
    """A server that reaches nobody."""

    async def request(self, method: str, url: str, **_options: Any) -> Answer:
        """Reach nobody.

        Raises:
            RemoteError: always.
        """
        raise RemoteError("this server has no way to push gateways")


class Gateways:
    """Tells gateways."""

    def __init__(self, http: Http, rooms: Rooms, *, timeout_ms: int, include_content: bool) -> None:
        self._http = http
        self._rooms = rooms
        self._timeout_ms = timeout_ms
        self._include_content = include_content

    async def push(self, pusher: PusherRow, entry: TimelineEvent | None, badge: int) -> bool:
        """Tell of an event, or (None) just of the badge; False if the gateway wants to hear no more of this pusher.

        Raises:
            RemoteError: the gateway did not take it.
        """
        data: dict[str, Any] = msgspec.json.decode(pusher.data)
        url = str(data.pop("url"))
        outcome = 0 if entry is None else outcome_of(entry.notified, pusher.user_id)
        device: dict[str, Any] = {
            "app_id": pusher.app_id,
            "pushkey": pusher.pushkey,
            "pushkey_ts": pusher.created_ms // 1000,
            "data": data,
        }
        notification: dict[str, Any] = {"counts": {"unread": badge}, "devices": [device]}
        if entry is not None:
            notification["prio"] = _priority(entry, outcome)
            notification["event_id"] = entry.event.event_id
            notification["room_id"] = entry.event.room_id
            if data.get("format") != EVENT_ID_ONLY:
                device["tweaks"] = _tweaks(outcome)
                room = await self._rooms.find_or_load(entry.event.room_id)
                notification |= describe(entry, room, pusher.user_id)
                if self._include_content:
                    notification["content"] = entry.event.content
        answer = await self._http.request(
            "POST",
            url,
            headers={"Content-Type": "application/json"},
            body=encode_json({"notification": notification}),
            timeout_ms=self._timeout_ms,
            max_bytes=MAX_ANSWER_BYTES,
        )
        if not 200 <= answer.status < 300:
            raise RemoteError(f"the push gateway answered {answer.status}", status=answer.status)
        return pusher.pushkey not in _rejected(answer.body)


def describe(entry: TimelineEvent, room: LiveRoom | None, user_id: UserID) -> dict[str, Any]:
    """Who says what and where, as far as it can be said in words."""
    event = entry.event
    described: dict[str, Any] = {"type": event.type, "sender": event.sender}
    if event.type == "m.room.member":
        described["user_is_target"] = event.state_key == user_id
    if room is None:
        return described
    facts = {
        "sender_display_name": room.display_name(event.sender),
        "room_name": room.content("m.room.name").get("name"),
        "room_alias": room.content("m.room.canonical_alias").get("alias"),
    }
    described.update((key, value) for key, value in facts.items() if isinstance(value, str) and value)
    return described


def _priority(entry: TimelineEvent, outcome: int) -> str:
    """Whether a telephone should wake for it; of what is encrypted only it can tell."""
    return "high" if outcome & (HIGHLIGHT | SOUND) or entry.event.type == "m.room.encrypted" else "low"


def _tweaks(outcome: int) -> dict[str, Any]:
    tweaks: dict[str, Any] = {}
    if outcome & SOUND:
        tweaks["sound"] = "default"
    if outcome & HIGHLIGHT:
        tweaks["highlight"] = True
    return tweaks


def _rejected(body: bytes) -> list[Any]:
    """The keys that a gateway does not want to hear of again.

    Raises:
        RemoteError: the answer is not that of a gateway.
    """
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise RemoteError("the push gateway did not answer with JSON") from None
    rejected = answer.get("rejected", []) if isinstance(answer, dict) else None
    if not isinstance(rejected, list):
        raise RemoteError("the push gateway did not answer as one")
    return rejected
