"""Messages: sending, reading, changing and taking them back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam
from homeserver.events.filters import parse_room_event_filter
from homeserver.http.endpoint import endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, RoomID, UserID
from homeserver.im.conversations import Conversations
from homeserver.im.message_reading import MessageReading, Span
from homeserver.im.message_shapes import NewMessage
from homeserver.im.messages import Messages
from homeserver.im.own_view import OwnView
from homeserver.im.paging import decode_place, encode_place, page
from homeserver.im_api.classes import REST, SEARCH, SEND, Limit, client_id_of
from homeserver.rooms.search import Search, SearchRequest
from homeserver.rooms.tokens import parse_token


class SendToUserBody(NewMessage):
    """A message to a friend. `message_type` and `content` are other names of `type` and `body`."""

    to_user_id: UserID | None = None
    message_type: int | None = None
    content: str | None = None


class HistoryQuery(msgspec.Struct, rename={"from_": "from"}):
    """At most one of the three bounds; the newest messages without any. `from` goes on from the page before."""

    before_seq: int | None = None
    after_seq: int | None = None
    around: int | None = None
    limit: Limit = 20
    from_: str | None = None


class AcrossQuery(msgspec.Struct, rename={"from_": "from"}):
    """`since` is a token of `/sync` or of the realtime stream: what came after it, oldest first."""

    since: str | None = None
    kind: Literal["dm", "group", "room"] | None = None
    limit: Limit = 20
    from_: str | None = None


class SearchMessagesQuery(msgspec.Struct, rename={"from_": "from"}):
    q: str
    cid: RoomID | None = None
    limit: Limit = 20
    from_: str | None = None


class EditBody(msgspec.Struct):
    body: str


class DeleteQuery(msgspec.Struct):
    scope: Literal["me", "all"] = "me"


class RecallBody(msgspec.Struct):
    reason: str | None = None


class ReactBody(msgspec.Struct):
    key: str


class ForwardBody(msgspec.Struct):
    to: list[RoomID]
    client_msg_id: str | None = None


class MessageEndpoints:
    """Saying things."""

    def __init__(self, messages: Messages, own_view: OwnView, conversations: Conversations) -> None:
        self._messages = messages
        self._own_view = own_view
        self._conversations = conversations

    @endpoint("POST", "/im/v1/conversations/{cid}/messages", rate_limit=SEND, suspended=False)
    async def send_message(
        self, who: Requester, cid: RoomID, body: NewMessage, request: Request
    ) -> dict[str, Any]:
        """Say something. The same `client_msg_id` again is answered with what was said first."""
        body.client_msg_id = client_id_of(request, body.client_msg_id)
        return (await self._messages.send(who, cid, body)).view()

    @endpoint("POST", "/im/v1/messages", rate_limit=SEND, suspended=False)
    async def send_message_to_user(
        self, who: Requester, body: SendToUserBody, request: Request
    ) -> dict[str, Any]:
        """Say something to a friend."""
        if body.to_user_id is None:
            raise InvalidParam("to_user_id must be given")
        if body.message_type is not None:
            body.type = body.message_type
        if body.content is not None:
            body.body = body.content
        body.client_msg_id = client_id_of(request, body.client_msg_id)
        cid = await self._conversations.with_friend(who.user_id, body.to_user_id)
        return (await self._messages.send(who, cid, body)).view() | {"cid": cid}

    @endpoint("PATCH", "/im/v1/messages/{event_id}", rate_limit=SEND, suspended=False)
    async def edit_message(self, who: Requester, event_id: EventID, body: EditBody) -> dict[str, Any]:
        """Say one's own message differently."""
        return (await self._messages.edit(who, event_id, body.body)).view()

    @endpoint("DELETE", "/im/v1/messages/{event_id}", rate_limit=REST)
    async def delete_message(self, who: Requester, event_id: EventID, query: DeleteQuery) -> Empty:
        """Delete a message: for oneself, or for all if one may."""
        if query.scope == "me":
            await self._own_view.delete_for_me(who.user_id, event_id)
        else:
            await self._messages.delete_for_all(who, event_id)
        return Empty()

    @endpoint("PUT", "/im/v1/messages/{event_id}/recall", rate_limit=REST)
    async def recall_message(self, who: Requester, event_id: EventID, body: RecallBody) -> dict[str, Any]:
        """Take a message back for everybody, soon after it was sent."""
        return {"recalled_ts": await self._messages.recall(who, event_id, body.reason)}

    @endpoint("POST", "/im/v1/messages/{event_id}/reactions", rate_limit=SEND, suspended=False)
    async def react_to_message(self, who: Requester, event_id: EventID, body: ReactBody) -> dict[str, Any]:
        """Put a reaction on a message."""
        reaction_id, is_known = await self._messages.react(who, event_id, body.key)
        answer: dict[str, Any] = {"reaction_id": reaction_id}
        return answer | {"deduplicated": True} if is_known else answer

    @endpoint("DELETE", "/im/v1/messages/{event_id}/reactions/{key}", rate_limit=REST)
    async def take_reaction(self, who: Requester, event_id: EventID, key: str) -> Empty:
        """Take one's reaction away, by its key or its ID."""
        await self._messages.take_reaction(who, event_id, key)
        return Empty()

    @endpoint("POST", "/im/v1/messages/{event_id}/forward", rate_limit=SEND, suspended=False)
    async def forward_message(
        self, who: Requester, event_id: EventID, body: ForwardBody, request: Request
    ) -> dict[str, Any]:
        """Say somewhere else what was said here."""
        client_id = client_id_of(request, body.client_msg_id)
        sent = await self._messages.forward(who, event_id, body.to, client_id)
        return {"items": [each.view() | {"cid": each.cid} for each in sent]}


class MessageReadingEndpoints:
    """Reading what was said."""

    def __init__(self, reading: MessageReading, conversations: Conversations, search: Search) -> None:
        self._reading = reading
        self._conversations = conversations
        self._search = search

    @endpoint("GET", "/im/v1/conversations/{cid}/messages", rate_limit=REST)
    async def list_messages(self, who: Requester, cid: RoomID, query: HistoryQuery) -> dict[str, Any]:
        """Messages by sequence number, without a gap; the newest unless a bound is given."""
        before, after = query.before_seq, query.after_seq
        if query.from_ is not None:
            kind, number = query.from_[:1], query.from_[1:]
            if kind not in ("a", "b") or not number.lstrip("-").isdecimal() or len(number) > 16:
                raise InvalidParam("from: this is not a place in this list")
            before, after = (int(number), None) if kind == "b" else (None, int(number))
        return await self._reading.page(who, cid, Span(before, after, query.around, query.limit))

    @endpoint("GET", "/im/v1/messages", rate_limit=REST)
    async def list_messages_everywhere(self, who: Requester, query: AcrossQuery) -> dict[str, Any]:
        """The newest messages of all one's conversations, or of those of a kind; with `since`, what was missed."""
        place = decode_place(query.from_, str, int)
        before = after = None
        if place is not None:
            before, after = (None, place[1]) if place[0] == "after" else (place[1], None)
        elif query.since is not None:
            after = parse_token(query.since).position
        items, more = await self._reading.across(
            who, query.kind, before=before, after=after, limit=query.limit
        )
        direction = "before" if after is None else "after"
        return page(items, None if more is None else encode_place(direction, more))

    @endpoint("GET", "/im/v1/messages/unread", rate_limit=REST)
    async def list_unread(self, who: Requester) -> dict[str, Any]:
        """How much is new in which conversation, and in all."""
        items = await self._conversations.unread(who.user_id)
        return {"items": items, "total": sum(int(item["unread"]) for item in items)}

    @endpoint("GET", "/im/v1/messages/search", rate_limit=SEARCH)
    async def search_messages(self, who: Requester, query: SearchMessagesQuery) -> dict[str, Any]:
        """Messages with some words, newest first, in all conversations or in one."""
        request = SearchRequest(
            who.user_id,
            query.q,
            ["content.body"],
            parse_room_event_filter({}),
            None if query.cid is None else [query.cid],
            query.limit,
            by_rank=False,
            token=query.from_,
        )
        found = await self._search.search(request)
        items = [await self._reading.one(who, result.entry.event.event_id) for result in found.results]
        return page(items, found.next_batch)

    @endpoint("GET", "/im/v1/messages/{event_id}", rate_limit=REST)
    async def get_message(self, who: Requester, event_id: EventID) -> dict[str, Any]:
        """One message."""
        return await self._reading.one(who, event_id)

    @endpoint("GET", "/im/v1/messages/{event_id}/status", rate_limit=REST)
    async def get_message_status(self, who: Requester, event_id: EventID) -> dict[str, Any]:
        """How far one's own message has come: sent, delivered or read."""
        return await self._reading.status(who, event_id)

    @endpoint("GET", "/im/v1/messages/{event_id}/readers", rate_limit=REST)
    async def list_message_readers(self, who: Requester, event_id: EventID) -> dict[str, Any]:
        """Who has read a message."""
        return page(await self._reading.readers(who, event_id), None)
