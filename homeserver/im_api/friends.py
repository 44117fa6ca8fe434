"""Friends, their requests, their categories, and whom one blocks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.ids import UserID
from homeserver.im.contacts import Contacts
from homeserver.im.friend_requests import FriendRequests, Outcome, Wish
from homeserver.im.friends import Blocks, Friends
from homeserver.im.paging import decode_place, encode_place, page
from homeserver.im.people import People
from homeserver.im_api.classes import FRIEND_REQUEST, REST, Limit
from storage.im_directs import FriendRequest


class AskBody(msgspec.Struct):
    user_id: UserID
    message: str = ""
    remark: str | None = None
    category_id: str | None = None


class RequestsQuery(msgspec.Struct, rename={"from_": "from"}):
    direction: Literal["in", "out"] = "in"
    state: Literal["pending", "accepted", "rejected", "ignored", "cancelled", "expired"] | None = None
    limit: Limit = 20
    from_: str | None = None


class AnswerBody(msgspec.Struct):
    action: Literal["accept", "reject", "ignore", "cancel"]
    reason: str | None = None
    remark: str | None = None
    category_id: str | None = None


class FriendsQuery(msgspec.Struct, rename={"from_": "from"}):
    category: str | None = None
    limit: Limit = 20
    from_: str | None = None


class AnnotateBody(msgspec.Struct):
    """What is left out stays as it is; an empty remark is taken away."""

    remark: str | None = None
    category_id: str | None = None


class DeleteFriendQuery(msgspec.Struct):
    block: bool = False


class CategoryBody(msgspec.Struct):
    name: str
    order: int | None = None


class ChangeCategoryBody(msgspec.Struct):
    name: str | None = None
    order: int | None = None


class BlocksQuery(msgspec.Struct):
    friends_only: bool = False


class FriendRequestEndpoints:
    """Asking to be friends, and answering."""

    def __init__(self, requests: FriendRequests, people: People) -> None:
        self._requests = requests
        self._people = people

    @endpoint("POST", "/im/v1/friends/requests", rate_limit=FRIEND_REQUEST, suspended=False)
    async def ask_friend(self, who: Requester, body: AskBody) -> dict[str, Any]:
        """Ask somebody to be a friend. Whoever has asked you already is accepted by it."""
        wish = Wish(body.user_id, body.message, body.remark, body.category_id)
        return _outcome(await self._requests.ask(who.user_id, wish))

    @endpoint("GET", "/im/v1/friends/requests", rate_limit=REST)
    async def list_friend_requests(self, who: Requester, query: RequestsQuery) -> dict[str, Any]:
        """The requests that one has got or made, newest first."""
        incoming = query.direction == "in"
        place = decode_place(query.from_, int, int)
        shown: list[FriendRequest] = []
        more = True
        while more and len(shown) < query.limit:
            before = None if place is None else (int(place[0]), int(place[1]))
            found = await self._requests.page(
                who.user_id, incoming=incoming, before=before, limit=query.limit
            )
            more = len(found) == query.limit
            for request in found:
                if len(shown) == query.limit:
                    more = True
                    break
                place = (request.created_ms, request.event)
                if query.state is None or request.state == query.state:
                    shown.append(request)
        others = [request.sender if incoming else request.target for request in shown]
        people = await self._people.nicknames(who.user_id, others)
        items = [_shown(request, people[other]) for request, other in zip(shown, others, strict=True)]
        return page(items, encode_place(*place) if more and place is not None else None)

    @endpoint("PUT", "/im/v1/friends/requests/{request_id}", rate_limit=REST, suspended=False)
    async def answer_friend_request(
        self, who: Requester, request_id: str, body: AnswerBody
    ) -> dict[str, Any]:
        """Accept, reject or ignore a request that one got, or cancel one that one made."""
        if body.action == "accept":
            outcome = await self._requests.accept(
                who.user_id, request_id, remark=body.remark, category=body.category_id
            )
        elif body.action == "reject":
            outcome = await self._requests.reject(who.user_id, request_id, body.reason)
        elif body.action == "ignore":
            outcome = await self._requests.ignore(who.user_id, request_id)
        else:
            outcome = await self._requests.cancel(who.user_id, request_id, body.reason)
        return _outcome(outcome)


class FriendEndpoints:
    """The friends that one has."""

    def __init__(self, friends: Friends, blocks: Blocks, contacts: Contacts, people: People) -> None:
        self._friends = friends
        self._blocks = blocks
        self._contacts = contacts
        self._people = people

    @endpoint("GET", "/im/v1/friends", rate_limit=REST)
    async def list_friends(self, who: Requester, query: FriendsQuery) -> dict[str, Any]:
        """One's friends, by remark or name; those of one category if one is given."""
        place = decode_place(query.from_, str, str)
        after = None if place is None else (str(place[0]), str(place[1]))
        items, rows = await self._friends.page(
            who.user_id, after=after, limit=query.limit + 1, category=query.category
        )
        if len(rows) <= query.limit:
            return page(items, None)
        last = rows[query.limit - 1]
        return page(items[: query.limit], encode_place(last.sort_key, last.peer))

    @endpoint("GET", "/im/v1/friends/presence", rate_limit=REST)
    async def list_friends_presence(self, who: Requester) -> dict[str, Any]:
        """Which of one's friends are there."""
        friends = await self._friends.ids(who.user_id)
        seen = await self._people.visible(who.user_id, friends)
        items = [{"user_id": user, **self._people.presence(user)} for user in friends if user in seen]
        return page(items, None)

    @endpoint("GET", "/im/v1/friends/categories", rate_limit=REST)
    async def list_categories(self, who: Requester) -> dict[str, Any]:
        """The categories that one sorts friends into."""
        return page(await self._contacts.categories(who.user_id), None)

    @endpoint("POST", "/im/v1/friends/categories", rate_limit=REST)
    async def add_category(self, who: Requester, body: CategoryBody) -> dict[str, Any]:
        """Make a category."""
        return await self._contacts.add_category(who.user_id, body.name, body.order)

    @endpoint("PATCH", "/im/v1/friends/categories/{category_id}", rate_limit=REST)
    async def change_category(
        self, who: Requester, category_id: str, body: ChangeCategoryBody
    ) -> dict[str, Any]:
        """Rename or move a category."""
        return await self._contacts.change_category(who.user_id, category_id, body.name, body.order)

    @endpoint("DELETE", "/im/v1/friends/categories/{category_id}", rate_limit=REST)
    async def delete_category(self, who: Requester, category_id: str) -> Empty:
        """Take a category away; its friends move to the default one."""
        await self._contacts.delete_category(who.user_id, category_id)
        return Empty()

    @endpoint("GET", "/im/v1/friends/{user_id}", rate_limit=REST)
    async def get_friend(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """One friend."""
        return await self._friends.view(who.user_id, user_id)

    @endpoint("PATCH", "/im/v1/friends/{user_id}", rate_limit=REST)
    async def annotate_friend(self, who: Requester, user_id: UserID, body: AnnotateBody) -> dict[str, Any]:
        """Say what one calls a friend, and which category they belong to."""
        return await self._friends.annotate(
            who.user_id, user_id, remark=body.remark, category=body.category_id
        )

    @endpoint("DELETE", "/im/v1/friends/{user_id}", rate_limit=REST)
    async def delete_friend(self, who: Requester, user_id: UserID, query: DeleteFriendQuery) -> Response:
        """Part from a friend, and block them if one likes. Both keep what was said."""
        await self._friends.part(who.user_id, user_id)
        if query.block:
            await self._blocks.block(who.user_id, user_id)
        return Response(204)

    @endpoint("GET", "/im/v1/friends/{user_id}/mutual", rate_limit=REST)
    async def list_mutual_friends(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """Whom both know; `complete` says whether that is all."""
        found, complete = await self._friends.mutual(who.user_id, user_id)
        people = await self._people.nicknames(who.user_id, found)
        return {"items": [people[user] for user in found], "complete": complete}

    @endpoint("GET", "/im/v1/blocks", rate_limit=REST)
    async def list_blocks(self, who: Requester, query: BlocksQuery) -> dict[str, Any]:
        """Whom one blocks."""
        blocked = await self._blocks.blocked(who.user_id)
        if query.friends_only:
            friends = set(await self._friends.ids(who.user_id))
            blocked = [user for user in blocked if user in friends]
        people = await self._people.nicknames(who.user_id, blocked)
        return page([people[user] for user in blocked], None)

    @endpoint("PUT", "/im/v1/blocks/{user_id}", rate_limit=REST)
    async def block(self, who: Requester, user_id: UserID) -> Empty:
        """Block somebody. They are not told."""
        await self._blocks.block(who.user_id, user_id)
        return Empty()

    @endpoint("DELETE", "/im/v1/blocks/{user_id}", rate_limit=REST)
    async def unblock(self, who: Requester, user_id: UserID) -> Empty:
        """Block somebody no longer."""
        await self._blocks.unblock(who.user_id, user_id)
        return Empty()


def _outcome(outcome: Outcome) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "request_id": outcome.request_id,
        "room_id": outcome.room_id,
        "state": outcome.state,
    }
    return answer | {"deduplicated": True} if outcome.deduplicated else answer


def _shown(request: FriendRequest, user: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "request_id": request.request_id,
        "room_id": request.room_id,
        "user": user,
        "message": request.message,
        "state": request.state,
        "ts": request.created_ms,
    }
    if request.expires_ms is not None:
        shown["expires_ts"] = request.expires_ms
    return shown
