"""What clients may ask over the IM API's socket: each operation is the short form of an endpoint (design, B.12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import BadJson, InvalidParam, LimitExceeded, UserSuspended
from homeserver.events.filters import parse_filter
from homeserver.http.body import convert_body
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, UserID, parse_event_id, parse_room_id, parse_user_id
from homeserver.im.calls import BeginCall, Calls, Verb
from homeserver.im.conversations import Conversations
from homeserver.im.deliveries import Deliveries
from homeserver.im.message_shapes import NewMessage
from homeserver.im.messages import Messages
from homeserver.im.own_view import OwnView
from homeserver.im.presence import OwnPresence, Status
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.tokens import parse_token
from homeserver.rooms.typing import Typing
from homeserver.sync.socket import Method, SocketSession

MAX_SUBSCRIBED = 1000
VERBS: tuple[Verb, ...] = ("answer", "candidates", "select", "negotiate", "reject", "hangup")


class SendOp(NewMessage):
    """A message, and where to: a conversation, or a friend."""

    cid: RoomID | None = None
    to_user_id: UserID | None = None


class AckOp(msgspec.Struct):
    cid: RoomID
    seq: int


class ReadOp(msgspec.Struct):
    cid: RoomID
    seq: int | None = None
    event_id: str | None = None


class TypingOp(msgspec.Struct):
    cid: RoomID
    typing: bool = True
    timeout: int = 30_000


class PresenceOp(msgspec.Struct):
    status: Status
    message: str | None = None


class InviteOp(BeginCall):
    """A call, and in which conversation."""

    cid: RoomID | None = None


class ResumeOp(msgspec.Struct):
    since: str


class SubscribeOp(msgspec.Struct):
    """Whose presence is wanted; without `presence` everybody's."""

    presence: list[UserID] | None = None


@dataclass(slots=True, frozen=True)
class Talking:
    """Who does what the operations ask."""

    messages: Messages
    conversations: Conversations
    own_view: OwnView
    deliveries: Deliveries
    typing: Typing
    access: RoomAccess
    calls: Calls
    presence: OwnPresence


class RealtimeOps:
    """The operations by name; `auth`, `resume` and `sub` are the session's own."""

    def __init__(self, talking: Talking, limiter: RateLimiter) -> None:
        self._talking = talking
        self._limiter = limiter

    def by_name(self) -> dict[str, Method]:
        acts = {f"call.{verb}": self._act(verb) for verb in VERBS}
        return {
            "ping": self._ping,
            "send": self._send,
            "ack": self._ack,
            "read": self._read,
            "typing": self._type,
            "presence": self._presence,
            "call.invite": self._begin_call,
            **acts,
        }

    async def _ping(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def _send(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Say something. Without a `client_msg_id` the frame's `id` is none: it need not be unique."""
        await self._limit(who, "message", speaks=True)
        op: SendOp = convert_body(params, SendOp)
        if (op.cid is None) == (op.to_user_id is None):
            raise InvalidParam("name either a cid or a to_user_id")
        cid = op.cid
        if cid is None:
            assert op.to_user_id is not None
            cid = await self._talking.conversations.with_friend(who.user_id, op.to_user_id)
        sent = await self._talking.messages.send(who, parse_room_id(cid), op)
        return sent.view()

    async def _ack(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "im")
        op: AckOp = convert_body(params, AckOp)
        await self._talking.access.joined(parse_room_id(op.cid), who.user_id)
        await self._talking.deliveries.acknowledge(who.user_id, op.cid, op.seq)
        return {}

    async def _read(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "im")
        op: ReadOp = convert_body(params, ReadOp)
        up_to = op.seq if op.event_id is None else parse_event_id(op.event_id)
        await self._talking.own_view.read(who.user_id, parse_room_id(op.cid), up_to)
        shown = await self._talking.conversations.view(who.user_id, op.cid)
        return {"unread": shown["unread"], "read_seq": shown["read_seq"]}

    async def _type(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            await self._limit(who, "typing")
        except LimitExceeded:
            # Who types that often is typing anyway.
            return {}
        op: TypingOp = convert_body(params, TypingOp)
        await self._talking.access.joined(parse_room_id(op.cid), who.user_id)
        await self._talking.typing.set_typing(op.cid, who.user_id, typing=op.typing, timeout_ms=op.timeout)
        return {}

    async def _presence(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "presence")
        op: PresenceOp = convert_body(params, PresenceOp)
        await self._talking.presence.choose(who.user_id, op.status, op.message)
        return {}

    async def _begin_call(self, who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._limit(who, "message", speaks=True)
        op: InviteOp = convert_body(params, InviteOp)
        if op.cid is None:
            raise InvalidParam("cid must be given")
        call_id, event_id = await self._talking.calls.begin(parse_room_id(op.cid), who, op)
        return {"call_id": call_id, "event_id": event_id}

    def _act(self, verb: Verb) -> Method:
        async def act(who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
            await self._limit(who, "message", speaks=True)
            call_id = params.get("call_id")
            if not isinstance(call_id, str):
                raise BadJson("call_id must be a string")
            return {"event_id": await self._talking.calls.act(call_id, verb, who, params)}

        return act

    async def _limit(self, who: Requester, name: str, *, speaks: bool = False) -> None:
        if speaks and who.is_suspended:
            raise UserSuspended("this account is suspended")
        if not who.is_rate_limited:
            return
        pending = self._limiter.check(name, who.user_id)
        if pending is not None:
            await pending


def session_ops(session: SocketSession) -> dict[str, Method]:
    """The operations that change what a session tells."""

    async def resume(who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Go on from a token: what came after it is told once more."""
        session.resume(parse_token(convert_body(params, ResumeOp).since))
        return {}

    async def subscribe(who: Requester, request_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        wanted = convert_body(params, SubscribeOp).presence
        if wanted is not None and len(wanted) > MAX_SUBSCRIBED:
            raise InvalidParam(f"presence: at most {MAX_SUBSCRIBED} users")
        presence = {} if wanted is None else {"senders": [parse_user_id(user) for user in wanted]}
        session.change(parse_filter({"presence": presence}))
        return {}

    return {"resume": resume, "sub": subscribe}
