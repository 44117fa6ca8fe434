"""What clients may ask over a WebSocket: each method is the short form of an endpoint.

Spec: the draft `attic/drafts/websockets.rst` of the specification's repository.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import msgspec

from homeserver.errors import BadJson, LimitExceeded, MissingParam
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.requester import Requester
from homeserver.ids import parse_event_id, parse_room_id
from homeserver.presence.presence import Presence
from homeserver.presence.states import STATES
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.read_markers import ReadMarkers
from homeserver.rooms.sending import Sending
from homeserver.rooms.timeline import TransactionId
from homeserver.rooms.typing import Typing
from homeserver.sync.socket import Method

MARKERS = ("m.fully_read", "m.read", "m.read.private")
T = TypeVar("T")


class StreamMethods:
    """The methods by name."""

    def __init__(
        self,
        sending: Sending,
        access: RoomAccess,
        typing: Typing,
        markers: ReadMarkers,
        presence: Presence,
        limiter: RateLimiter,
    ) -> None:
        self._sending = sending
        self._access = access
        self._typing = typing
        self._markers = markers
        self._presence = presence
        self._limiter = limiter

    def by_name(self) -> dict[str, Method]:
        return {
            "ping": self._ping,
            "send": self._send,
            "state": self._state,
            "typing": self._set_typing,
            "read_markers": self._set_read_markers,
            "presence": self._set_presence,
        }

    async def _ping(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def _send(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "message")
        room_id = parse_room_id(_need(params, "room_id", str))
        event_type, content = _need(params, "event_type", str), _need(params, "content", dict)
        transaction = TransactionId(who.user_id, who.device_id, request_id)
        event_id = await self._sending.message(
            room_id, who.user_id, event_type, content, transaction=transaction
        )
        return {"event_id": event_id}

    async def _state(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "message")
        room_id = parse_room_id(_need(params, "room_id", str))
        event_type, content = _need(params, "event_type", str), _need(params, "content", dict)
        state_key = _need(params, "state_key", str) if "state_key" in params else ""
        transaction = TransactionId(who.user_id, who.device_id, request_id)
        event_id = await self._sending.state(
            room_id, who.user_id, event_type, state_key, content, transaction=transaction
        )
        return {"event_id": event_id}

    async def _set_typing(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            await self._limit(who, "typing")
        except LimitExceeded:
            # Who types that often is typing anyway.
            return {}
        room_id = parse_room_id(_need(params, "room_id", str))
        typing = _need(params, "typing", bool) if "typing" in params else False
        timeout = _need(params, "timeout", int) if "timeout" in params else 30_000
        await self._access.joined(room_id, who.user_id)
        await self._typing.set_typing(room_id, who.user_id, typing=typing, timeout_ms=timeout)
        return {}

    async def _set_read_markers(
        self, who: Requester, request_id: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        await self._limit(who, "receipts")
        room_id = parse_room_id(_need(params, "room_id", str))
        markers = {name: parse_event_id(_need(params, name, str)) for name in MARKERS if name in params}
        if not markers:
            raise MissingParam("Missing parameter: m.fully_read or m.read")
        await self._access.joined(room_id, who.user_id)
        await self._markers.set(room_id, who.user_id, markers)
        return {}

    async def _set_presence(
        self, who: Requester, request_id: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        await self._limit(who, "presence")
        unknown = set(params) - {"presence", "status_msg"}
        if unknown:
            raise BadJson(f"unknown parameter {min(unknown)!r}")
        presence = _need(params, "presence", str)
        if presence not in STATES:
            raise BadJson(f"{presence!r} is not a presence")
        status = _need(params, "status_msg", str) if params.get("status_msg") is not None else None
        await self._presence.choose(who.user_id, presence, status)
        return {}

    async def _limit(self, who: Requester, name: str) -> None:
        if not who.is_rate_limited:
            return
        pending: Awaitable[None] | None = self._limiter.check(name, who.user_id)
        if pending is not None:
            await pending


def _need(params: Mapping[str, Any], name: str, kind: type[T]) -> T:
    if name not in params:
        raise MissingParam(f"Missing parameter: {name}")
    try:
        return msgspec.convert(params[name], kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadJson(f"{name}: {error}") from None
