"""The rooms themselves: what joins, sends and receives events stands on this."""

from __future__ import annotations

from config import Config
from homeserver.app.surroundings import Surroundings
from homeserver.events.signatures import SigningKey
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.policy import RoomPolicies
from homeserver.rooms.policy_rules import PolicyRules
from homeserver.rooms.registry import Rooms
from homeserver.rooms.rules import StoredRules
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.writer import RoomWriter


def policy_rules(config: Config) -> PolicyRules:
    """By what this server judges as a policy server, if it is one."""
    section = config.federation.policy_server
    return PolicyRules(
        section.seed(), denied_senders=section.denied_senders, denied_words=section.denied_words
    )


class RoomCore:
    """The registry of live rooms, and their only writer."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        numbers: EventNumbers,
        policies: RoomPolicies,
        signing_key: SigningKey,
    ) -> None:
        self.policies = policies
        db, server_name = surroundings.database, config.server.server_name
        self.numbers = numbers
        self.signing_key = signing_key
        self.rules = StoredRules()
        self.rooms = Rooms(db, self.rules, server_name=server_name, memory_bytes=config.caches.rooms_bytes)
        self.writer = RoomWriter(
            db,
            self.rooms,
            numbers,
            surroundings.clock,
            policies,
            server_name=server_name,
            signing_key=signing_key,
        )
        self.state_at = StateAt(db)
