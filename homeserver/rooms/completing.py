"""Finishing events that another server has begun: templates, and events that come back with its signature.

Nothing is signed of a template beyond what an event of this kind has, and of an event that comes back only the
signatures are taken.
"""

from __future__ import annotations

from typing import Any

from federation.wire.handshakes import Template
from homeserver.errors import NotFound, RemoteError
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.events.signatures import SigningKey, encode_base64, sign_event
from homeserver.ids import RoomID, ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import rooms as room_rows
from storage.database import Database

_ID_LENGTH = 18


class TemplateSigner:
    """Makes events of templates, with this server's key."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        randomness: Randomness,
        *,
        server_name: ServerName,
        signing_key: SigningKey,
    ) -> None:
        self._db = db
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._key = signing_key

    def complete(self, template: Template, version: RoomVersion, content: dict[str, Any]) -> Event:
        """The member event for a template that was checked, with our content.

        Raises:
            InvalidEvent: the template makes no event.
        """
        begun = template.event
        fields = {
            "type": begun.get("type"),
            "room_id": begun.get("room_id"),
            "sender": begun.get("sender"),
            "state_key": begun.get("state_key"),
            "depth": begun.get("depth"),
            "prev_events": begun.get("prev_events"),
            "auth_events": begun.get("auth_events"),
        }
        return self._sign(fields, version, content)

    async def departure(self, room_id: RoomID, user_id: UserID, content: dict[str, Any]) -> Event:
        """A leave event that no other server will see, since none can be told."""
        found = await self._db.read(room_rows.find, room_id)
        if found is None:
            raise NotFound(f"unknown room {room_id}")
        fields = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": user_id,
            "state_key": user_id,
            "depth": 1,
            "prev_events": [],
            "auth_events": [],
        }
        return self._sign(fields, room_version(found[1]), content)

    def _sign(self, fields: dict[str, Any], version: RoomVersion, content: dict[str, Any]) -> Event:
        pdu = {**fields, "content": content, "origin_server_ts": self._clock.now_ms()}
        if not version.event_ids_are_hashes:
            token = encode_base64(self._randomness.bytes(_ID_LENGTH)).translate(str.maketrans("+/", "-_"))
            pdu["event_id"] = f"${token}:{self._server_name}"
        sign_event(pdu, version, self._server_name, self._key)
        return Event.from_pdu(pdu, version)

    def merge(self, event: Event, answer: object) -> Event:
        """Our event with the signatures that it came back with.

        Raises:
            RemoteError: what came back is another event.
        """
        if not isinstance(answer, dict):
            raise RemoteError("what came back is no event")
        signatures = answer.get("signatures")
        pdu = event.pdu
        for server, of_server in (signatures if isinstance(signatures, dict) else {}).items():
            if server != self._server_name and isinstance(of_server, dict):
                pdu["signatures"].setdefault(server, {}).update(
                    {key: value for key, value in of_server.items() if isinstance(value, str)}
                )
        return event.with_pdu(pdu)
