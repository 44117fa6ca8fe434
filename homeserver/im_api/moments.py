"""Moments: posts with pictures and places, for friends, for everybody or for oneself (IM API, part B.5)."""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import EventID, UserID
from homeserver.im.follows import Follows
from homeserver.im.moment_shapes import Audience, Location, Media
from homeserver.im.moment_timeline import MomentTimeline
from homeserver.im.moments import Moments, NewMoment
from homeserver.im_api.classes import REST, SEND, PageQuery
from homeserver.rooms.timeline import TransactionId


class PostMomentBody(msgspec.Struct):
    """`media` are mxc URIs, or objects that say more of each."""

    text: str = ""
    media: list[Media | str] = []
    location: Location | None = None
    visibility: Audience = "friends"
    mentions: list[UserID] = []
    client_msg_id: str | None = None


class CommentBody(msgspec.Struct):
    body: str
    reply_to: EventID | None = None
    client_msg_id: str | None = None


def _page(items: list[Any], after: str | None) -> dict[str, Any]:
    return {"items": items} if after is None else {"items": items, "next_batch": after}


def _transaction(who: Requester, client_msg_id: str | None) -> TransactionId | None:
    return None if client_msg_id is None else TransactionId(who.user_id, who.device_id, client_msg_id)


class MomentEndpoints:
    """What people post, and what others say to it."""

    def __init__(self, moments: Moments, timeline: MomentTimeline, follows: Follows) -> None:
        self._moments = moments
        self._timeline = timeline
        self._follows = follows

    @endpoint("POST", "/im/v1/moments", rate_limit=SEND, suspended=False)
    async def post_moment(self, who: Requester, body: PostMomentBody) -> dict[str, Any]:
        """Post a moment."""
        moment_id, room_id = await self._moments.post(
            NewMoment(
                author=who.user_id,
                audience=body.visibility,
                text=body.text,
                media=[Media(one) if isinstance(one, str) else one for one in body.media],
                location=body.location,
                mentions=body.mentions,
                transaction=_transaction(who, body.client_msg_id),
            )
        )
        return {"moment_id": moment_id, "room_id": room_id}

    @endpoint("GET", "/im/v1/moments/timeline", rate_limit=REST)
    async def get_timeline(self, who: Requester, query: PageQuery) -> dict[str, Any]:
        """The newest moments of one's friends, of those whom one follows, and of oneself."""
        return _page(
            *await self._timeline.page(who.user_id, author=None, before=query.from_, limit=query.limit)
        )

    @endpoint("GET", "/im/v1/users/{user_id}/moments", rate_limit=REST)
    async def list_moments_of_user(self, who: Requester, user_id: UserID, query: PageQuery) -> dict[str, Any]:
        """What one may see of somebody's moments."""
        return _page(
            *await self._timeline.page(who.user_id, author=user_id, before=query.from_, limit=query.limit)
        )

    @endpoint("GET", "/im/v1/moments/{moment_id}", rate_limit=REST)
    async def get_moment(self, who: Requester, moment_id: EventID) -> dict[str, Any]:
        """A moment with its likes and comments."""
        return await self._timeline.one(moment_id, who.user_id)

    @endpoint("DELETE", "/im/v1/moments/{moment_id}", rate_limit=REST)
    async def delete_moment(self, who: Requester, moment_id: EventID) -> Empty:
        """Delete a moment of one's own."""
        await self._moments.delete(moment_id, who.user_id)
        return Empty()

    @endpoint("PUT", "/im/v1/moments/{moment_id}/like", rate_limit=REST, suspended=False)
    async def like_moment(self, who: Requester, moment_id: EventID) -> dict[str, Any]:
        """Like a moment."""
        return {"like_count": await self._moments.like(moment_id, who.user_id)}

    @endpoint("DELETE", "/im/v1/moments/{moment_id}/like", rate_limit=REST)
    async def unlike_moment(self, who: Requester, moment_id: EventID) -> dict[str, Any]:
        """Take one's like back."""
        return {"like_count": await self._moments.unlike(moment_id, who.user_id)}

    @endpoint("GET", "/im/v1/moments/{moment_id}/likes", rate_limit=REST)
    async def list_likes(self, who: Requester, moment_id: EventID, query: PageQuery) -> dict[str, Any]:
        """Who likes a moment."""
        await self._moments.find(moment_id, who.user_id)
        first = int(query.from_) if query.from_ and query.from_.isdecimal() else 0
        people = await self._moments.likes(moment_id)
        last = first + query.limit
        items = [{"user_id": user} for user in people[first:last]]
        return _page(items, str(last) if last < len(people) else None)

    @endpoint("GET", "/im/v1/moments/{moment_id}/comments", rate_limit=REST)
    async def list_comments(self, who: Requester, moment_id: EventID, query: PageQuery) -> dict[str, Any]:
        """What people say to a moment, as far as one is shown it."""
        comments = (await self._timeline.one(moment_id, who.user_id))["comments"]
        first = int(query.from_) if query.from_ and query.from_.isdecimal() else 0
        last = first + query.limit
        return _page(comments[first:last], str(last) if last < len(comments) else None)

    @endpoint("POST", "/im/v1/moments/{moment_id}/comments", rate_limit=SEND, suspended=False)
    async def comment_moment(self, who: Requester, moment_id: EventID, body: CommentBody) -> dict[str, Any]:
        """Comment on a moment, or reply to a comment."""
        comment_id = await self._moments.comment(
            moment_id, who.user_id, body.body, body.reply_to, _transaction(who, body.client_msg_id)
        )
        return {"comment_id": comment_id}

    @endpoint("DELETE", "/im/v1/moments/{moment_id}/comments/{comment_id}", rate_limit=REST)
    async def delete_comment(self, who: Requester, moment_id: EventID, comment_id: EventID) -> Empty:
        """Delete a comment of one's own, or one on a moment of one's own."""
        await self._moments.delete_comment(moment_id, comment_id, who.user_id)
        return Empty()

    @endpoint("PUT", "/im/v1/follows/{user_id}", rate_limit=REST, suspended=False)
    async def follow_user(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """Have somebody's public moments in one's timeline."""
        return {"room_id": await self._follows.follow(who.user_id, user_id)}

    @endpoint("DELETE", "/im/v1/follows/{user_id}", rate_limit=REST)
    async def unfollow_user(self, who: Requester, user_id: UserID) -> Empty:
        """Have them no longer."""
        await self._follows.unfollow(who.user_id, user_id)
        return Empty()
