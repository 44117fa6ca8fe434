"""Who may ask to be a friend, by whichever client or server: not again within a day, and not on the room of others.

The IM API says so with codes of its own. Stock clients and servers do not know the rules, so the doors keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import Forbidden, LimitExceeded
from homeserver.ids import UserID
from homeserver.im import direct_rooms
from homeserver.im.follower import Follower
from homeserver.im.friend_projection import FriendProjection
from homeserver.rooms.live_room import LiveRoom
from homeserver.runtime.clock import Clock
from storage import im_directs
from storage.database import Database
from storage.im_directs import FriendRequest
from storage.transaction import Transaction

AGAIN_AFTER_MS = 24 * 60 * 60 * 1000


class FriendGate:
    """Checks invitations to rooms of two, and knocks on them."""

    def __init__(self, db: Database, follower: Follower, clock: Clock) -> None:
        self._db = db
        self._follower = follower
        self._clock = clock

    async def check_invitation(self, inviter: UserID, invitee: UserID, content: Mapping[str, Any]) -> None:
        """
        Raises:
            LimitExceeded: it asks for a friendship that was refused less than a day ago.
        """
        if content.get("is_direct") is not True:
            return
        await self._follower.settled(FriendProjection)
        refused = await self._db.read(last_refused, inviter, invitee, self._clock.now_ms())
        if refused is not None:
            left_ms = refused.created_ms + AGAIN_AFTER_MS - self._clock.now_ms()
            raise LimitExceeded("the last request was not taken up", retry_after_ms=left_ms)

    async def check_knock(self, room: LiveRoom, user_id: UserID) -> None:
        """
        Raises:
            Forbidden: the room is one of two people, and the user is neither.
        """
        if room.room_type is not None:
            return
        await self._follower.settled(FriendProjection)
        if not await self._db.read(im_directs.may_knock, room.room_id, user_id):
            raise Forbidden("this room is for two people")


def last_refused(txn: Transaction, sender: UserID, target: UserID, now_ms: int) -> FriendRequest | None:
    """The newest request from the one to the other, if it was refused and keeps the next one waiting still."""
    last = im_directs.last_request(txn, sender, target)
    if last is None or last.created_ms + AGAIN_AFTER_MS <= now_ms:
        return None
    is_refused = last.state in (direct_rooms.REJECTED, direct_rooms.EXPIRED) or is_over(last, now_ms)
    return last if is_refused else None


def is_over(request: FriendRequest, now_ms: int) -> bool:
    """Whether a request that nobody has answered has run out."""
    return (
        request.state == direct_rooms.PENDING
        and request.expires_ms is not None
        and request.expires_ms <= now_ms
    )
