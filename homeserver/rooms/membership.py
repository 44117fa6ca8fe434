"""Joining, leaving, inviting, knocking and everything else that changes who is in a room.

What concerns a room that this server is in is written here; what concerns others goes through `Handshakes`.
Spec: https://spec.matrix.org/v1.19/client-server-api/#room-membership
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from homeserver.errors import Forbidden, GuestForbidden, MatrixError, NotFound
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.rooms.live_room import JOIN_RULES, LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.rooms.turns import Turns
from homeserver.rooms.writer import Draft, RoomWriter
from storage import membership as membership_rows
from storage.database import Database


class MemberProfiles(Protocol):
    """Where the name and picture in member events come from."""

    async def member_profile(self, user_id: UserID) -> dict[str, str]: ...


class Handshakes(Protocol):
    """What takes another server: see the federation handshakes."""

    async def join(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> None: ...

    async def knock(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> None: ...

    async def leave(self, room_id: RoomID, user_id: UserID, content: dict[str, Any]) -> None: ...

    async def invite(self, room: LiveRoom, draft: Draft) -> None: ...


class WholeRooms(Protocol):
    """Has rooms with all of their members: after a join they may still be on their way."""

    async def wait_for(self, room: LiveRoom) -> LiveRoom: ...


InviteCheck = Callable[[UserID, UserID, Mapping[str, Any]], Awaitable[None]]
"""Given who invites, whom, and the content of the invitation."""
KnockCheck = Callable[[LiveRoom, UserID], Awaitable[None]]


class Memberships:
    """Changes memberships on behalf of local users."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        writer: RoomWriter,
        profiles: MemberProfiles,
        handshakes: Handshakes,
        whole_rooms: WholeRooms,
        *,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._writer = writer
        self._profiles = profiles
        self._handshakes = handshakes
        self._whole_rooms = whole_rooms
        self._server_name = server_name
        self._invite_checks: list[InviteCheck] = []
        self._knock_checks: list[KnockCheck] = []
        # Whoever comes or goes twice at once does it once: the second finds what the first has done.
        self._turns: Turns[tuple[RoomID, UserID]] = Turns()

    def check_invites_with(self, check: InviteCheck) -> None:
        """Have invitations refused by one more rule (invite blocking, spam checks)."""
        self._invite_checks.append(check)

    async def check_may_invite(self, inviter: UserID, invitee: UserID, content: Mapping[str, Any]) -> None:
        """
        Raises:
            MatrixError: the invitee, or this server, wants no such invitation from this user.
        """
        for check in self._invite_checks:
            await check(inviter, invitee, content)

    def check_knocks_with(self, check: KnockCheck) -> None:
        """Have knocks on rooms of this server refused by one more rule, whichever server they come from."""
        self._knock_checks.append(check)

    async def check_may_knock(self, room: LiveRoom, user_id: UserID) -> None:
        """
        Raises:
            MatrixError: nobody like this user knocks on this room.
        """
        for check in self._knock_checks:
            await check(room, user_id)

    async def join(
        self,
        room_id: RoomID,
        user_id: UserID,
        *,
        servers: Sequence[ServerName] = (),
        reason: str | None = None,
        extra: Mapping[str, Any] | None = None,
        is_guest: bool = False,
    ) -> RoomID:
        """Make the user a member; joining twice changes nothing.

        `servers` are those that may know the room, if this one does not.

        Raises:
            Forbidden: the room's rules do not let the user in.
            NotFound: nobody asked knows the room.
        """
        content: dict[str, Any] = {
            **(extra or {}),
            "membership": "join",
            **await self._profiles.member_profile(user_id),
        }
        if reason is not None:
            content["reason"] = reason
        async with self._turns.of((room_id, user_id)):
            await self._join(room_id, user_id, servers, content, is_again=bool(extra), is_guest=is_guest)
        return room_id

    async def _join(
        self,
        room_id: RoomID,
        user_id: UserID,
        servers: Sequence[ServerName],
        content: dict[str, Any],
        *,
        is_again: bool,
        is_guest: bool,
    ) -> None:
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            await self._join_elsewhere(room, room_id, user_id, servers, content)
            return
        if room.is_joined(user_id) and not is_again:
            return
        if is_guest and room.content("m.room.guest_access").get("guest_access") != "can_join":
            raise GuestForbidden("guests may not join this room")
        restricted = room.join_rule in room.version.restricted_join_rules
        if restricted and room.membership(user_id) not in ("invite", "join"):
            authoriser = await self._authorise(room, user_id)
            if authoriser is None:
                await self._join_elsewhere(room, room_id, user_id, servers, content)
                return
            content["join_authorised_via_users_server"] = authoriser
        await self._writer.send(room_id, Draft("m.room.member", user_id, content, state_key=user_id))

    async def _join_elsewhere(
        self,
        room: LiveRoom | None,
        room_id: RoomID,
        user_id: UserID,
        servers: Sequence[ServerName],
        content: dict[str, Any],
    ) -> None:
        asked = [server for server in servers if server != self._server_name]
        if room is not None:
            asked += [server for server in room.servers if server != self._server_name]
        invited = await self._db.read(membership_rows.find, room_id, user_id)
        if invited is not None and invited.membership == "invite":
            asked.append(domain_of(invited.sender))
        asked = [server for server in dict.fromkeys(asked) if server != self._server_name]
        if not asked:
            if room is None:
                raise NotFound(f"no server is known that has the room {room_id}")
            if not room.joined_servers:
                raise Forbidden("nobody is left in the room who could let you in")
            raise Forbidden("you may not join this room: none of its conditions is met")
        await self._handshakes.join(room_id, user_id, asked, content)

    async def _authorise(self, room: LiveRoom, user_id: UserID) -> UserID | None:
        """A local user who may vouch for the join, if a condition of the join rule is met; None if none may.

        Raises:
            Forbidden: no condition is met.
        """
        if not await self.meets_conditions(room, user_id):
            raise Forbidden("you are in none of the rooms whose members may join this one")
        levels = room.power_levels
        return next((user for user in sorted(room.local_joined) if levels.user(user) >= levels.invite), None)

    async def meets_conditions(self, room: LiveRoom, user_id: UserID) -> bool:
        """Whether the user is in a room that the join rule names."""
        rules = room.head_state.get(JOIN_RULES)
        allow = [] if rules is None else rules.content.get("allow")
        for condition in allow if isinstance(allow, list) else []:
            if not isinstance(condition, dict) or condition.get("type") != "m.room_membership":
                continue
            other = condition.get("room_id")
            if isinstance(other, str):
                allowed = await self._rooms.find_or_load(RoomID(other))
                if allowed is not None and allowed.is_joined(user_id):
                    return True
        return False

    async def invite(
        self,
        room_id: RoomID,
        inviter: UserID,
        invitee: UserID,
        *,
        reason: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> EventID | None:
        """Invite somebody; somebody who is invited already is invited again.

        Raises:
            Forbidden: the inviter is not in the room, may not invite, or the invitee is joined or banned.
        """
        room = await self._load_joined(room_id, inviter)
        content: dict[str, Any] = {**(extra or {}), "membership": "invite"}
        await self.check_may_invite(inviter, invitee, content)
        if room.is_joined(invitee):
            raise Forbidden(f"{invitee} is already in the room")
        if reason is not None:
            content["reason"] = reason
        if domain_of(invitee) != self._server_name:
            await self._handshakes.invite(room, Draft("m.room.member", inviter, content, state_key=invitee))
            return None
        content.update(await self._profiles.member_profile(invitee))
        return await self._writer.send(room_id, Draft("m.room.member", inviter, content, state_key=invitee))

    async def leave(
        self,
        room_id: RoomID,
        user_id: UserID,
        *,
        reason: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Leave a room, reject an invitation or take back a knock; leaving twice changes nothing.

        Raises:
            NotFound: the user has nothing to do with the room.
        """
        content: dict[str, Any] = {**(extra or {}), "membership": "leave"}
        if reason is not None:
            content["reason"] = reason
        async with self._turns.of((room_id, user_id)):
            await self._leave(room_id, user_id, content)

    async def _leave(self, room_id: RoomID, user_id: UserID, content: dict[str, Any]) -> None:
        room = await self._rooms.find_or_load(room_id)
        current = await self._db.read(membership_rows.find, room_id, user_id)
        if current is None:
            if room is None:
                raise NotFound(f"unknown room {room_id}")
            raise Forbidden("you are not in this room")
        if current.membership == "leave":
            return
        if room is None or not room.local_joined:
            await self._handshakes.leave(room_id, user_id, content)
            return
        await self._writer.send(room_id, Draft("m.room.member", user_id, content, state_key=user_id))

    async def kick(
        self, room_id: RoomID, sender: UserID, target: UserID, *, reason: str | None = None
    ) -> None:
        """Remove somebody, or take back an invitation.

        Raises:
            Forbidden: the sender may not, or the target is not in the room.
        """
        room = await self._load_joined(room_id, sender)
        if room.membership(target) not in ("join", "invite", "knock"):
            raise Forbidden(f"{target} is not in the room")
        await self._change(room, sender, target, "leave", reason)

    async def ban(
        self, room_id: RoomID, sender: UserID, target: UserID, *, reason: str | None = None
    ) -> None:
        room = await self._load_joined(room_id, sender)
        await self._change(room, sender, target, "ban", reason)

    async def unban(
        self, room_id: RoomID, sender: UserID, target: UserID, *, reason: str | None = None
    ) -> None:
        """
        Raises:
            Forbidden: the sender may not, or the target is not banned.
        """
        room = await self._load_joined(room_id, sender)
        if room.membership(target) != "ban":
            raise MatrixError(f"{target} is not banned", status=403, errcode="M_BAD_STATE")
        await self._change(room, sender, target, "leave", reason)

    async def knock(
        self,
        room_id: RoomID,
        user_id: UserID,
        *,
        servers: Sequence[ServerName] = (),
        reason: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> RoomID:
        """Ask to be let in.

        Raises:
            Forbidden: the room's rules do not allow knocking, or not by this user.
        """
        content: dict[str, Any] = {
            **(extra or {}),
            "membership": "knock",
            **await self._profiles.member_profile(user_id),
        }
        if reason is not None:
            content["reason"] = reason
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            asked = [*servers, *(room.servers if room is not None else [])]
            asked = [server for server in dict.fromkeys(asked) if server != self._server_name]
            if not asked:
                raise NotFound(f"no server is known that has the room {room_id}")
            await self._handshakes.knock(room_id, user_id, asked, content)
            return room_id
        await self.check_may_knock(room, user_id)
        await self._writer.send(room_id, Draft("m.room.member", user_id, content, state_key=user_id))
        return room_id

    async def forget(self, room_id: RoomID, user_id: UserID) -> None:
        """Drop a room that the user has left from all that they are shown.

        Raises:
            MatrixError: M_UNKNOWN, the user has not left it.
        """
        current = await self._db.read(membership_rows.find, room_id, user_id)
        if current is None:
            raise NotFound(f"you were never in {room_id}")
        if current.membership not in ("leave", "ban"):
            raise MatrixError(f"you have not left {room_id}")
        await self._db.run(membership_rows.forget, room_id, user_id)

    async def _change(
        self, room: LiveRoom, sender: UserID, target: UserID, membership: str, reason: str | None
    ) -> None:
        content: dict[str, Any] = {"membership": membership}
        if reason is not None:
            content["reason"] = reason
        await self._writer.send(room.room_id, Draft("m.room.member", sender, content, state_key=target))

    async def _load_joined(self, room_id: RoomID, user_id: UserID) -> LiveRoom:
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.is_joined(user_id):
            raise Forbidden("you are not in this room")
        # What is done to others is judged by their membership.
        return await self._whole_rooms.wait_for(room)
