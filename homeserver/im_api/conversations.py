"""Conversations: the list, what one says about one of them, reading and clearing it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, RoomID, UserID
from homeserver.im.conversations import Conversations, Which
from homeserver.im.deliveries import Deliveries
from homeserver.im.own_view import OwnView
from homeserver.im.paging import decode_place, encode_place, page
from homeserver.im_api.classes import REST, Limit
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.typing import Typing


class OpenBody(msgspec.Struct):
    """Exactly one of the two."""

    user_id: UserID | None = None
    group_id: RoomID | None = None


class ConversationsQuery(msgspec.Struct, rename={"from_": "from"}):
    filter: Which = "all"
    limit: Limit = 20
    from_: str | None = None


class ChangeConversationBody(msgspec.Struct):
    """What is left out stays as it is. `muted` may be true or false for all and off."""

    pinned: bool | None = None
    order: float | None = None
    muted: Literal["off", "mentions", "all"] | bool | None = None
    mute_until: int | None = None
    marked_unread: bool | None = None
    draft: str | None = None
    hidden: bool | None = None


class ReadBody(msgspec.Struct):
    """Up to which message; all of them without either."""

    seq: int | None = None
    event_id: EventID | None = None


class TypingBody(msgspec.Struct):
    typing: bool = True
    timeout: int = 30_000


class DeliveredBody(msgspec.Struct):
    seq: int


class ConversationEndpoints:
    """One's conversations."""

    def __init__(
        self,
        conversations: Conversations,
        own_view: OwnView,
        deliveries: Deliveries,
        typing: Typing,
        access: RoomAccess,
    ) -> None:
        self._conversations = conversations
        self._own_view = own_view
        self._deliveries = deliveries
        self._typing = typing
        self._access = access

    @endpoint("POST", "/im/v1/conversations", rate_limit=REST)
    async def open_conversation(self, who: Requester, body: OpenBody) -> dict[str, Any]:
        """The conversation with a friend, or of a group."""
        if (body.user_id is None) == (body.group_id is None):
            raise InvalidParam("name either a user_id or a group_id")
        cid = body.group_id
        if cid is None:
            assert body.user_id is not None
            cid = await self._conversations.with_friend(who.user_id, body.user_id)
        return await self._conversations.change(who.user_id, cid, {"hidden": False})

    @endpoint("GET", "/im/v1/conversations", rate_limit=REST)
    async def list_conversations(self, who: Requester, query: ConversationsQuery) -> dict[str, Any]:
        """One's conversations: pinned ones first, then by the newest message."""
        place = decode_place(query.from_, int, float, int, int)
        offset = None if place is None else (int(place[0]), float(place[1]), int(place[2]), int(place[3]))
        items, more = await self._conversations.page(
            who.user_id, query.filter, offset=offset, limit=query.limit
        )
        return page(items, None if more is None else encode_place(*more))

    @endpoint("GET", "/im/v1/conversations/{cid}", rate_limit=REST)
    async def get_conversation(self, who: Requester, cid: RoomID) -> dict[str, Any]:
        """One conversation."""
        return await self._conversations.view(who.user_id, cid)

    @endpoint("PATCH", "/im/v1/conversations/{cid}", rate_limit=REST)
    async def change_conversation(
        self, who: Requester, cid: RoomID, body: ChangeConversationBody
    ) -> dict[str, Any]:
        """Pin, mute, hide or mark a conversation, or keep a draft with it."""
        changes = {
            name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not None
        }
        if isinstance(body.muted, bool):
            changes["muted"] = "all" if body.muted else "off"
        return await self._conversations.change(who.user_id, cid, changes)

    @endpoint("DELETE", "/im/v1/conversations/{cid}", rate_limit=REST)
    async def hide_conversation(self, who: Requester, cid: RoomID) -> Empty:
        """Take a conversation from the list until its next message."""
        await self._conversations.change(who.user_id, cid, {"hidden": True})
        return Empty()

    @endpoint("PUT", "/im/v1/conversations/{cid}/read", rate_limit=REST)
    async def read_conversation(self, who: Requester, cid: RoomID, body: ReadBody) -> dict[str, Any]:
        """Say that one has read up to a message."""
        await self._own_view.read(who.user_id, cid, body.seq if body.event_id is None else body.event_id)
        shown = await self._conversations.view(who.user_id, cid)
        return {"unread": shown["unread"], "read_seq": shown["read_seq"]}

    @endpoint("POST", "/im/v1/conversations/{cid}/clear", rate_limit=REST)
    async def clear_conversation(self, who: Requester, cid: RoomID) -> dict[str, Any]:
        """Hide everything said so far, from all of one's clients and nobody else."""
        return {"cleared_seq": await self._own_view.clear(who.user_id, cid)}

    @endpoint("POST", "/im/v1/conversations/{cid}/typing", rate_limit=REST)
    async def type_in_conversation(self, who: Requester, cid: RoomID, body: TypingBody) -> Empty:
        """Say that one is typing, or no longer."""
        await self._access.joined(cid, who.user_id)
        await self._typing.set_typing(cid, who.user_id, typing=body.typing, timeout_ms=body.timeout)
        return Empty()

    @endpoint("POST", "/im/v1/conversations/{cid}/delivered", rate_limit=REST)
    async def deliver_conversation(self, who: Requester, cid: RoomID, body: DeliveredBody) -> Empty:
        """Say that messages have come to this device."""
        await self._access.joined(cid, who.user_id)
        await self._deliveries.acknowledge(who.user_id, cid, body.seq)
        return Empty()
