"""Invitations that other servers bring to local users: looked at, signed, and kept beside the room.

Spec: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from federation.wire.handshakes import check_invite
from homeserver.errors import (
    EventError,
    Forbidden,
    InvalidEvent,
    InvalidParam,
    InvalidSignature,
    MatrixError,
    MissingParam,
    NotFound,
    UnsupportedRoomVersion,
)
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.events.signatures import SigningKey, sign_event
from homeserver.events.stripped_state import parse_stripped_state
from homeserver.ids import EventID, RoomID, ServerName, UserID
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.gate import Gate
from homeserver.rooms.membership import Memberships
from homeserver.rooms.outside import OutsideMemberships
from homeserver.rooms.registry import Rooms
from storage import users as user_rows
from storage.database import Database

_log = structlog.get_logger(__name__)


class Invitations:
    """Takes invitations by the invite handshake."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        gate: Gate,
        memberships: Memberships,
        outside: OutsideMemberships,
        *,
        server_name: ServerName,
        signing_key: SigningKey,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._gate = gate
        self._memberships = memberships
        self._outside = outside
        self._server_name = server_name
        self._key = signing_key

    async def take(
        self,
        origin: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: dict[str, Any],
        *,
        version_id: str,
        shown_state: Sequence[Any],
    ) -> Event:
        """Let a user of this server be invited; gives the event with our signature.

        Raises:
            InvalidParam: the event is not an invitation of one of ours.
            Forbidden: the user, or this server, wants no such invitation.
            MatrixError: we do not know the room's version.
        """
        try:
            version = room_version(version_id)
        except UnsupportedRoomVersion as error:
            raise MatrixError(
                str(error), errcode="M_INCOMPATIBLE_ROOM_VERSION", room_version=version_id
            ) from error
        check_invite(pdu, origin=origin, room_id=room_id, us=self._server_name)
        try:
            event = await self._gate.check_one(pdu, version, room_id)
        except InvalidEvent as error:
            raise InvalidParam(str(error)) from error
        except InvalidSignature as error:
            raise Forbidden(str(error)) from error
        if event.event_id != event_id:
            raise InvalidParam(f"the event is {event.event_id}, not {event_id}")
        room = await self._rooms.find_or_load(room_id)
        if room is not None and not is_server_allowed(room, origin):
            raise Forbidden(f"{origin} may not take part in this room")
        await self._check_shown(version, room_id, shown_state)
        invited = UserID(str(event.state_key))
        if await self._db.read(user_rows.find, invited) is None:
            raise NotFound(f"there is no user {invited}")
        await self._memberships.check_may_invite(event.sender, invited, event.content)
        signed = event.pdu
        sign_event(signed, version, self._server_name, self._key)
        event = event.with_pdu(signed)
        if room is None or not room.local_joined:
            # A room that we are in tells us of the invitation as of every other event.
            await self._outside.store(event, parse_stripped_state(shown_state))
        return event

    async def _check_shown(self, version: RoomVersion, room_id: RoomID, shown: Sequence[Any]) -> None:
        """Whether what is shown of the room is whole events of it, the create event among them."""
        create = None
        try:
            for pdu in shown:
                event = await self._gate.check_one(pdu, version, room_id)
                if event.key == ("m.room.create", ""):
                    create = event
        except EventError as error:
            if version.room_id_is_create_event_id:
                raise InvalidParam(f"invite_room_state holds something that is no event: {error}") from error
            # COMPAT(servers before v1.16): they send stripped events.
            _log.info("an invitation comes with stripped state", room=room_id, reason=str(error))
            return
        if create is None and version.room_id_is_create_event_id:
            raise MissingParam("invite_room_state lacks the create event")
