"""What is taken back from local users of rooms that this server is not in: their invitations, and their knocks.

The room's servers tell the user's server of the member event that takes it back. Nothing here can judge it by the
room's rules, so it must follow the very invitation or knock, and come from a server that is known to be in the room:
the inviter's, one of those whose users made what was shown of it, or one that was in it when this server was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from homeserver.errors import HearthError
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.rooms.gate import Gate, find_event_id
from homeserver.rooms.outside import OutsideMemberships, servers_in
from storage import events as event_rows
from storage import membership as membership_rows
from storage import rooms as room_rows
from storage import stripped
from storage.database import Database
from storage.transaction import Transaction


class Rescinding:
    """Takes member events that end an invitation or a knock from outside."""

    def __init__(
        self, db: Database, gate: Gate, outside: OutsideMemberships, *, server_name: ServerName
    ) -> None:
        self._db = db
        self._gate = gate
        self._outside = outside
        self._server_name = server_name

    async def take(self, room_id: RoomID, pdus: Sequence[Any]) -> dict[EventID, str | None]:
        """Take those of the PDUs that end something; what became of each, None if it was handled."""
        version = await self._db.read(_version_of, room_id)
        if version is None:
            return {}
        results: dict[EventID, str | None] = {}
        for pdu in pdus:
            event_id = find_event_id(pdu, version)
            if event_id is not None:
                results[event_id] = await self._take(pdu, version, room_id)
        return results

    async def _take(self, pdu: Any, version: RoomVersion, room_id: RoomID) -> str | None:
        try:
            event = await self._gate.check_one(pdu, version, room_id)
        except HearthError as error:
            return str(error)
        if event.type != "m.room.member" or event.content.get("membership") not in ("leave", "ban"):
            return f"this server is not in the room {room_id}"
        user = event.state_key or ""
        if domain_of(user) != self._server_name or event.sender == user:
            return f"this server is not in the room {room_id}"
        if not await self._db.read(_ends_something, event, UserID(user)):
            return f"{user} has nothing in {room_id} that {event.sender} could take back"
        await self._outside.store(event)
        return None


def _version_of(txn: Transaction, room_id: RoomID) -> RoomVersion | None:
    found = room_rows.find(txn, room_id)
    return None if found is None else room_version(found[1])


def _ends_something(txn: Transaction, event: Event, user_id: UserID) -> bool:
    """Whether the event ends an invitation or a knock of the user that it follows, and may."""
    current = membership_rows.find(txn, event.room_id, user_id)
    if current is None or current.membership not in ("invite", "knock"):
        return False
    row = event_rows.by_number(txn, [current.event]).get(current.event)
    if row is None or row.event_id not in event.auth_events:
        return False
    kept = stripped.find(txn, event.room_id, user_id)
    shown = [] if kept is None else msgspec.json.decode(kept)
    members = membership_rows.list_of_room(txn, event.room_id, "join")
    known = {domain_of(current.sender), *servers_in(shown), *(domain_of(each.user_id) for each in members)}
    return domain_of(event.sender) in known
