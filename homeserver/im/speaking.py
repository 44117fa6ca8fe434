"""Who may say something where, in the words of the IM API: what the rooms would refuse anyway, and why."""

from __future__ import annotations

from homeserver.errors import Forbidden
from homeserver.ids import RoomID, UserID
from homeserver.im.conversations import Conversations
from homeserver.im.errors import Encrypted, NotFriend
from homeserver.im.group_shapes import GROUP, check_may_speak, check_not_dissolved
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.live_room import LiveRoom


class Speaking:
    """Asked before anything is said."""

    def __init__(self, access: RoomAccess, conversations: Conversations) -> None:
        self._access = access
        self._conversations = conversations

    async def room(self, cid: RoomID, user_id: UserID) -> LiveRoom:
        """A conversation that the user is in.

        Raises:
            GroupDissolved: it was a group, until it was dissolved.
            NotFriend: it is that of a friendship that the user has ended.
            Forbidden: they are not in it.
        """
        try:
            return await self._access.joined(cid, user_id)
        except Forbidden as refusal:
            sight = await self._access.sight(cid, user_id)
            check_not_dissolved(sight.room)
            direct = await self._conversations.find_direct(user_id, cid)
            if direct is not None:
                raise NotFriend(f"{direct.peer} is not your friend") from refusal
            raise

    async def check(self, room: LiveRoom, user_id: UserID, *, in_clear: bool = True) -> None:
        """
        Raises:
            GroupDissolved, Muted: the group does not let the user speak.
            NotFriend: the other of the two is not there.
            Encrypted: what is said in the clear would be read by no stock client.
        """
        if not room.is_joined(user_id):
            room = await self.room(room.room_id, user_id)
        if room.room_type == GROUP:
            check_may_speak(room, user_id)
        elif len(room.joined) < 2:
            direct = await self._conversations.find_direct(user_id, room.room_id)
            if direct is not None and direct.theirs != "join":
                raise NotFriend(f"{direct.peer} is not your friend")
        if in_clear and room.is_encrypted:
            raise Encrypted("this conversation is encrypted end to end")

    async def is_of_two(self, room: LiveRoom, user_id: UserID) -> bool:
        return await self._conversations.find_direct(user_id, room.room_id) is not None
