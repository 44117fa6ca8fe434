"""Redeeming third-party invites: whoever has a key that a room shows is invited by whoever has shown it.

The key's holder signs for a user; the server of the inviter makes an invitation of that. Users of other servers have
their server exchange the signature for an invitation.
Spec: https://spec.matrix.org/v1.19/server-server-api/#third-party-invites
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from homeserver.errors import Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.ids import RoomID, ServerName, UserID, domain_of, is_user_id
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms

THIRD_PARTY_INVITE = "m.room.third_party_invite"


class OtherServers(Protocol):
    """The way to other servers."""

    async def exchange_third_party_invite(
        self, server: ServerName, room_id: RoomID, event: Mapping[str, Any]
    ) -> None: ...


class Uses(Protocol):
    """Counts how often a third-party invite is used; some may be used only so often, or so long."""

    async def take(self, room: LiveRoom, token: str) -> None: ...

    async def give_back(self, token: str) -> None: ...

    async def end_used_up(self, room: LiveRoom, token: str) -> None: ...


class InviteExchange:
    """Makes invitations of signatures."""

    def __init__(
        self, rooms: Rooms, memberships: Memberships, others: OtherServers, *, server_name: ServerName
    ) -> None:
        self._rooms = rooms
        self._memberships = memberships
        self._others = others
        self._server_name = server_name
        self._uses: Uses | None = None

    def count_with(self, uses: Uses) -> None:
        """Have uses counted."""
        self._uses = uses

    async def claim(
        self, room_id: RoomID, inviter: UserID, user_id: UserID, signed: Mapping[str, Any]
    ) -> None:
        """Have a local user invited for whom somebody has signed.

        Raises:
            Forbidden: the signature is by no key that the room shows, or the user is banned.
            NotFound: the inviter's server is not in the room.
        """
        token = signed.get("token")
        if signed.get("mxid") != user_id or not isinstance(token, str):
            raise Forbidden("this invitation is for somebody else")
        if domain_of(inviter) == self._server_name:
            room = await self._rooms.find_or_load(room_id)
            if room is None:
                raise NotFound(f"unknown room {room_id}")
            await self._invite(room, inviter, user_id, token, signed)
            return
        event = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": inviter,
            "state_key": user_id,
            "content": {
                "membership": "invite",
                "third_party_invite": {"display_name": user_id, "signed": dict(signed)},
            },
        }
        await self._others.exchange_third_party_invite(domain_of(inviter), room_id, event)

    async def exchange(self, origin: ServerName, room_id: RoomID, event: dict[str, Any]) -> None:
        """Invite a user of another server, who has a signature.

        Raises:
            InvalidParam: it is no such event.
            NotFound: this server is not in the room.
            Forbidden: the signature is by no key that the room shows, or the user is not the origin's, or banned.
        """
        content, target = event.get("content"), str(event.get("state_key"))
        shown = content.get("third_party_invite") if isinstance(content, dict) else None
        if event.get("type") != "m.room.member" or not is_user_id(target) or not isinstance(shown, dict):
            raise InvalidParam("this is no third-party invite")
        if event.get("room_id") != room_id:
            raise InvalidParam("the event is of another room")
        if domain_of(target) != origin:
            raise Forbidden(f"{target} is not a user of {origin}")
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            raise NotFound(f"this server is not in the room {room_id}")
        signed = shown.get("signed")
        token = signed.get("token") if isinstance(signed, dict) else None
        original = room.find_state(THIRD_PARTY_INVITE, token) if isinstance(token, str) else None
        if original is None or domain_of(original.sender) != self._server_name:
            raise Forbidden("nobody here has made this third-party invite")
        await self._invite(room, original.sender, UserID(target), str(token), dict(signed or {}))

    async def _invite(
        self, room: LiveRoom, inviter: UserID, user_id: UserID, token: str, signed: Mapping[str, Any]
    ) -> None:
        if room.membership(user_id) in ("invite", "join"):
            return
        name = room.content(THIRD_PARTY_INVITE, token).get("display_name")
        shown = {"display_name": name if isinstance(name, str) else "", "signed": dict(signed)}
        if self._uses is not None:
            await self._uses.take(room, token)
        try:
            await self._memberships.invite(
                room.room_id, inviter, user_id, extra={"third_party_invite": shown}
            )
        except MatrixError:
            if self._uses is not None:
                await self._uses.give_back(token)
            raise
        if self._uses is not None:
            await self._uses.end_used_up(room, token)
