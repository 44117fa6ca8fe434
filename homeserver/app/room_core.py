"""The rooms themselves: what joins, sends and receives events stands on this."""

from __future__ import annotations

from config import Config
from homeserver.app.surroundings import Surroundings
from homeserver.events.signatures import SigningKey
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.registry import Rooms
from homeserver.rooms.rules import StoredRules
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.writer import RoomWriter


class RoomCore:
    """The registry of live rooms, and their only writer."""

    def __init__(
        self, config: Config, surroundings: Surroundings, numbers: EventNumbers, signing_key: SigningKey
    ) -> None:
        db, server_name = surroundings.database, config.server.server_name
        self.numbers = numbers
        self.signing_key = signing_key
        self.rules = StoredRules()
        self.rooms = Rooms(db, self.rules, server_name=server_name, memory_bytes=config.caches.rooms_bytes)
        self.writer = RoomWriter(
            db, self.rooms, numbers, surroundings.clock, server_name=server_name, signing_key=signing_key
        )
        self.state_at = StateAt(db)
