"""This server as the one through which users of other servers join, knock and leave.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from federation.wire.handshakes import check_handshake_event
from homeserver.errors import (
    Forbidden,
    InvalidEvent,
    InvalidParam,
    InvalidSignature,
    MatrixError,
    NotFound,
    RemoteError,
)
from homeserver.events.event import Event
from homeserver.events.signatures import SigningKey, sign_event
from homeserver.events.stripped_state import stripped_state
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.gate import Gate
from homeserver.rooms.incoming import Fate
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.receiving import Receiving
from homeserver.rooms.registry import Rooms
from homeserver.rooms.restricted import RestrictedJoins
from homeserver.rooms.told import RoomTelling, StateBefore
from homeserver.rooms.writer import Draft, RoomWriter

KnockCheck = Callable[[LiveRoom, UserID], Awaitable[None]]
_UNSENT = ("hashes", "signatures", "unsigned", "event_id")


class PartialStateHere(MatrixError):
    """This server does not know all of the room yet."""

    status = 404
    errcode = "M_UNABLE_DUE_TO_PARTIAL_STATE"


def check_is_whole(room: LiveRoom) -> None:
    """
    Raises:
        PartialStateHere: this server has not been told all of the room's state.
    """
    if room.partial_state:
        raise PartialStateHere(f"this server is only just joining {room.room_id}")


@dataclass(frozen=True, slots=True)
class LetIn:
    """What a server is told that joins: the state before the join, and the join as it is in the room."""

    event: Event
    state: StateBefore
    servers: list[ServerName] | None


class Hosting:
    """Makes templates, and takes the events that are made of them."""

    def __init__(
        self,
        rooms: Rooms,
        writer: RoomWriter,
        gate: Gate,
        receiving: Receiving,
        telling: RoomTelling,
        restricted: RestrictedJoins,
        check_knock: KnockCheck,
        *,
        server_name: ServerName,
        signing_key: SigningKey,
        omit_from: int,
    ) -> None:
        """Of rooms with `omit_from` members or more, servers that ask for it are told the rest of them later."""
        self._omit_from = omit_from
        self._rooms = rooms
        self._writer = writer
        self._gate = gate
        self._receiving = receiving
        self._telling = telling
        self._restricted = restricted
        self._check_knock = check_knock
        self._server_name = server_name
        self._key = signing_key

    async def make(
        self,
        origin: ServerName,
        room_id: RoomID,
        user_id: UserID,
        membership: str,
        versions: Sequence[str] | None,
    ) -> tuple[str, dict[str, Any]]:
        """The room's version, and a template for the user's membership.

        Raises:
            NotFound: this server is not in the room.
            Forbidden: the user is not the origin's, or the room's rules do not allow it.
            MatrixError: the origin does not know the room's version, or we cannot vouch for the join.
        """
        if domain_of(user_id) != origin:
            raise Forbidden(f"{user_id} is not a user of {origin}")
        room = await self._room_for(origin, room_id)
        if versions is not None and room.version.id not in versions:
            raise MatrixError(
                f"the room is of version {room.version.id}, which {origin} does not know",
                errcode="M_INCOMPATIBLE_ROOM_VERSION",
                room_version=room.version.id,
            )
        if membership == "knock" and not room.version.has_knocking:
            raise Forbidden("nobody can knock on rooms of this version")
        if membership == "knock":
            await self._check_knock(room, user_id)
        if membership == "join":
            check_is_whole(room)
        content: dict[str, Any] = {"membership": membership}
        if membership == "join":
            authoriser = await self._restricted.authoriser_for(room, user_id)
            if authoriser is not None:
                content["join_authorised_via_users_server"] = authoriser
        event = self._writer.prepare(room, Draft("m.room.member", user_id, content, state_key=user_id))
        template = {key: value for key, value in event.pdu.items() if key not in _UNSENT}
        return room.version.id, template

    async def take_join(
        self,
        origin: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: dict[str, Any],
        *,
        omit_members: bool,
    ) -> LetIn:
        """Have the user in the room, and tell their server what it needs to be in it too."""
        check_handshake_event(pdu, origin=origin, room_id=room_id, membership="join")
        room = await self._room_for(origin, room_id)
        check_is_whole(room)
        user_id = UserID(pdu["sender"])
        authoriser = pdu["content"].get("join_authorised_via_users_server")
        if (
            room.version.has_restricted_joins
            and isinstance(authoriser, str)
            and domain_of(authoriser) == self._server_name
        ):
            await self._restricted.authoriser_for(room, user_id)
            sign_event(pdu, room.version, self._server_name, self._key)
        event = await self._take(origin, room, event_id, pdu)
        omit_members = omit_members and len(room.joined) >= self._omit_from
        state = await self._telling.state_before(room, event, only_for=user_id if omit_members else None)
        servers = sorted(room.joined_servers) if omit_members else None
        return LetIn(event, state, servers)

    async def take_knock(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, pdu: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Have the user knock; what their server may show them of the room, as whole PDUs."""
        check_handshake_event(pdu, origin=origin, room_id=room_id, membership="knock")
        room = await self._room_for(origin, room_id)
        if not room.version.has_knocking:
            raise Forbidden("nobody can knock on rooms of this version")
        await self._check_knock(room, UserID(pdu["sender"]))
        await self._take(origin, room, event_id, pdu)
        room = await self._rooms.load(room_id)
        return [event.pdu for event in stripped_state(room.state, sender=pdu["sender"])]

    async def take_leave(
        self, origin: ServerName, room_id: RoomID, event_id: EventID, pdu: dict[str, Any]
    ) -> None:
        """Have the user leave, decline an invitation or take back a knock."""
        check_handshake_event(pdu, origin=origin, room_id=room_id, membership="leave")
        room = await self._room_for(origin, room_id)
        await self._take(origin, room, event_id, pdu)

    async def _room_for(self, origin: ServerName, room_id: RoomID) -> LiveRoom:
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.local_joined:
            raise NotFound(f"this server is not in the room {room_id}")
        if not is_server_allowed(room, origin):
            raise Forbidden(f"{origin} may not take part in this room")
        return room

    async def _take(
        self, origin: ServerName, room: LiveRoom, event_id: EventID, pdu: dict[str, Any]
    ) -> Event:
        try:
            event = await self._gate.check_one(pdu, room.version, room.room_id)
        except InvalidEvent as error:
            raise InvalidParam(str(error)) from error
        except InvalidSignature as error:
            raise Forbidden(str(error)) from error
        if event.event_id != event_id:
            raise InvalidParam(f"the event is {event.event_id}, not {event_id}")
        try:
            fate = await self._receiving.receive(origin, event, relayed=True)
        except RemoteError as error:
            raise MatrixError(str(error)) from error
        if fate in (Fate.REJECTED, Fate.SOFT_FAILED):
            raise Forbidden("the rules of the room do not allow it")
        return event
