"""The members of a group: who they are, what they may do, how they are invited, ask to join, and leave."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from homeserver.errors import Forbidden, InvalidParam, MatrixError, NotFound, RemoteError, TooLarge
from homeserver.ids import RoomID, ServerName, UserID, is_user_id
from homeserver.im.group_shapes import (
    ADMIN,
    MEMBER,
    MUTED,
    OWNER,
    OwnerMustTransfer,
    Role,
    check_not_dissolved,
    role_at,
)
from homeserver.im.groups import Groups
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.sending import Sending

ADDED_AT_ONCE = 200


class Acquaintance(Protocol):
    """Says who may be put into a group without being asked."""

    async def may_add(self, who: UserID, whom: UserID) -> bool: ...


class GroupMembers:
    """Lists and changes the members of groups."""

    def __init__(
        self,
        groups: Groups,
        memberships: Memberships,
        sending: Sending,
        acquaintance: Acquaintance,
        *,
        max_members: int,
    ) -> None:
        self._groups = groups
        self._memberships = memberships
        self._sending = sending
        self._acquaintance = acquaintance
        self._max_members = max_members

    async def page(
        self, gid: RoomID, viewer: UserID, *, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Some of the members: the owner, the admins, then everybody else by user ID.

        Raises:
            Forbidden: the viewer is not a member.
        """
        room = await self._groups.load_joined(gid, viewer)
        levels = room.power_levels
        people = sorted(room.joined, key=lambda user: (-max(levels.user(user), 0), user))
        if after is not None and not after.isdecimal():
            raise InvalidParam("from: no token of this list")
        first = int(after or 0)
        page = [self._member(room, user) for user in people[first : first + limit]]
        return page, str(first + limit) if first + limit < len(people) else None

    def _member(self, room: LiveRoom, user_id: UserID) -> dict[str, Any]:
        event = room.state["m.room.member", user_id]
        level = room.power_levels.user(user_id)
        avatar = event.content.get("avatar_url")
        return {
            "user_id": user_id,
            "nickname": room.display_name(user_id) or user_id,
            "avatar": avatar if isinstance(avatar, str) else None,
            "role": role_at(level),
            "muted": level < 0,
        }

    async def add(
        self, gid: RoomID, inviter: UserID, people: Sequence[str], *, reason: str | None = None
    ) -> list[dict[str, Any]]:
        """Invite people; friends who have agreed to it beforehand are members at once. What became of each.

        Raises:
            Forbidden: the inviter is no member, or only admins invite.
            TooLarge: so many cannot be invited at once, or the group would grow too large.
        """
        room = await self._groups.load_joined(gid, inviter)
        wanted = list(dict.fromkeys(people))
        if not wanted:
            raise InvalidParam("name somebody to invite")
        if len(wanted) > ADDED_AT_ONCE:
            raise TooLarge(f"at most {ADDED_AT_ONCE} people are invited at once")
        if len(room.joined) + len(room.invited) + len(wanted) > self._max_members:
            raise TooLarge(f"a group has at most {self._max_members} members")
        levels = room.power_levels
        if levels.user(inviter) < levels.invite:
            raise Forbidden("only the owner and admins invite into this group")
        return [{"user_id": one, **await self._add(gid, inviter, one, reason)} for one in wanted]

    async def _add(self, gid: RoomID, inviter: UserID, name: str, reason: str | None) -> dict[str, Any]:
        try:
            if not is_user_id(name):
                raise InvalidParam(f"{name!r} is not a user ID")
            user = UserID(name)
            await self._memberships.invite(gid, inviter, user, reason=reason)
            if await self._acquaintance.may_add(inviter, user):
                await self._memberships.join(gid, user)
                return {"state": "joined"}
        except MatrixError as error:
            return {"state": "refused", **error.body()}
        except RemoteError as error:
            return {"state": "refused", "errcode": error.errcode or "M_UNKNOWN", "error": str(error)}
        return {"state": "invited"}

    async def remove(self, gid: RoomID, who: UserID, target: UserID, *, reason: str | None = None) -> None:
        """
        Raises:
            Forbidden: the target is not there, or `who` is not above them.
        """
        await self._groups.load_joined(gid, who)
        await self._memberships.kick(gid, who, target, reason=reason)

    async def leave(self, gid: RoomID, user_id: UserID) -> None:
        """Leave; the owner only as the last one.

        Raises:
            OwnerMustTransfer: there are others, and nobody would own the group.
        """
        room = await self._groups.load_joined(gid, user_id)
        levels = room.power_levels
        others = room.joined - {user_id}
        if levels.user(user_id) >= OWNER and others and all(levels.user(user) < OWNER for user in others):
            raise OwnerMustTransfer("make somebody else the owner first, or dissolve the group")
        await self._memberships.leave(gid, user_id)

    async def transfer(self, gid: RoomID, owner: UserID, new_owner: UserID) -> None:
        """Make another member the owner, and the old one an admin.

        Raises:
            Forbidden: the user is not the owner.
            NotFound: the other is not a member.
            OwnerMustTransfer: the room's version has creators who cannot step down.
        """
        room = await self._groups.load_joined(gid, owner)
        if room.power_levels.user(owner) < OWNER:
            raise Forbidden("only the owner hands a group over")
        if not room.is_joined(new_owner) or new_owner == owner:
            raise NotFound(f"{new_owner} is no other member of this group")
        if room.version.creators_are_almighty:
            raise OwnerMustTransfer(f"rooms of version {room.version.id} keep their creators for ever")
        await self._groups.change_levels(gid, owner, partial(_with_levels, {new_owner: OWNER, owner: ADMIN}))

    async def set_role(self, gid: RoomID, who: UserID, target: UserID, role: Role) -> None:
        """Make a member an admin, or an admin a member again.

        Raises:
            Forbidden: the user is not the owner.
        """
        room = await self._groups.load_joined(gid, who)
        if role == "owner":
            raise InvalidParam("a group is handed over by transfer")
        if room.power_levels.user(who) < OWNER:
            raise Forbidden("only the owner of a group appoints admins")
        self._check_member(room, target)
        if who == target:
            raise InvalidParam("the owner is the owner")
        await self._groups.change_levels(
            gid, who, partial(_with_levels, {target: ADMIN if role == "admin" else MEMBER})
        )

    async def set_muted(self, gid: RoomID, who: UserID, target: UserID, *, muted: bool) -> None:
        """Take a member's voice, or give it back.

        Raises:
            Forbidden: `who` is not above the target.
        """
        room = await self._groups.load_joined(gid, who)
        self._check_member(room, target)
        levels = room.power_levels
        if levels.user(who) < ADMIN or levels.user(target) >= min(levels.user(who), ADMIN):
            raise Forbidden("the owner and admins mute members, and nobody else")
        await self._groups.change_levels(
            gid, who, partial(_with_levels, {target: MUTED if muted else MEMBER})
        )

    async def set_nickname(self, gid: RoomID, user_id: UserID, nickname: str) -> None:
        """Call oneself something else in this group; nothing stands for one's own name."""
        room = await self._groups.load_joined(gid, user_id)
        content = dict(room.content("m.room.member", user_id))
        if nickname.strip():
            content["displayname"] = nickname.strip()[:256]
        else:
            content.pop("displayname", None)
        await self._sending.state(gid, user_id, "m.room.member", user_id, content)

    async def invitations(self, gid: RoomID, viewer: UserID) -> list[dict[str, Any]]:
        """Who has been invited and has not answered, oldest first."""
        return self._waiting(await self._groups.load_joined(gid, viewer), "invite")

    async def requests(self, gid: RoomID, viewer: UserID) -> list[dict[str, Any]]:
        """Who asks to join, oldest first.

        Raises:
            Forbidden: the viewer could let nobody in.
        """
        room = await self._groups.load_joined(gid, viewer)
        if room.power_levels.user(viewer) < ADMIN:
            raise Forbidden("only the owner and admins see who asks to join")
        return self._waiting(room, "knock")

    @staticmethod
    def _waiting(room: LiveRoom, membership: str) -> list[dict[str, Any]]:
        found = []
        for (kind, user_id), event in room.state.items():
            if kind == "m.room.member" and event.content.get("membership") == membership:
                found.append(
                    {
                        "user_id": user_id,
                        "nickname": event.content.get("displayname") or user_id,
                        "avatar": event.content.get("avatar_url"),
                        "message": event.content.get("reason"),
                        "by": event.sender,
                        "ts": event.origin_server_ts,
                    }
                )
        return sorted(found, key=lambda one: (one["ts"], one["user_id"]))

    async def answer_invitation(self, gid: RoomID, user_id: UserID, *, accept: bool) -> str:
        """Take an invitation or not; the state after it.

        Raises:
            GroupDissolved: there is nothing to join any more.
        """
        if accept:
            room = await self._groups.find(gid)
            if room is not None:
                check_not_dissolved(room)
            await self._memberships.join(gid, user_id)
            return "joined"
        await self._memberships.leave(gid, user_id)
        return "rejected"

    async def ask_to_join(
        self, gid: RoomID, user_id: UserID, message: str | None, servers: Sequence[ServerName]
    ) -> str:
        """Join an open group, or ask to be let into one that wants to be asked; the state after it.

        Raises:
            Forbidden: only who is invited joins this group.
        """
        if message is not None and len(message) > 255:
            raise InvalidParam("a request has a message of at most 255 characters")
        room = await self._groups.find(gid)
        if room is not None:
            check_not_dissolved(room)
        if room is not None and room.is_joined(user_id):
            return "joined"
        if room is not None and room.local_joined and room.join_rule == "public":
            await self._memberships.join(gid, user_id)
            return "joined"
        if room is not None and room.membership(user_id) == "knock":
            return "requested"
        if room is None or not room.local_joined:
            try:
                await self._memberships.join(gid, user_id, servers=servers)
            except Forbidden:
                # It is not open, or not to this user: ask.
                pass
            else:
                return "joined"
        await self._memberships.knock(gid, user_id, servers=servers, reason=message)
        return "requested"

    async def answer_request(
        self, gid: RoomID, admin: UserID, asker: UserID, *, accept: bool, reason: str | None
    ) -> str:
        """Let somebody in who has asked, or not; the state after it. Their own server joins them then.

        Raises:
            NotFound: nobody of this name asks.
            Forbidden: the user is no admin.
        """
        room = await self._groups.load_joined(gid, admin)
        if room.power_levels.user(admin) < ADMIN:
            raise Forbidden("only the owner and admins let people in")
        if room.membership(asker) != "knock":
            raise NotFound(f"{asker} does not ask to join")
        if accept:
            await self._memberships.invite(gid, admin, asker, reason=reason)
            return "accepted"
        await self._memberships.kick(gid, admin, asker, reason=reason)
        return "rejected"

    async def withdraw(self, gid: RoomID, user_id: UserID) -> None:
        """Take back one's own request."""
        await self._memberships.leave(gid, user_id)

    @staticmethod
    def _check_member(room: LiveRoom, target: UserID) -> None:
        if not room.is_joined(target):
            raise NotFound(f"{target} is not a member of this group")


def _with_levels(changes: dict[UserID, int], levels: dict[str, Any]) -> dict[str, Any]:
    """The levels with some users' changed; who has everybody's level is not named."""
    users = {**levels.get("users", {}), **changes}
    default = levels.get("users_default", MEMBER)
    return {**levels, "users": {user: level for user, level in users.items() if level != default}}
