"""A room of events alone: no server, no storage; every server signs with the same key."""

from __future__ import annotations

from typing import Any

from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.builder import build_event
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.events.signatures import SigningKey
from homeserver.ids import RoomID, StateKey, UserID, domain_of

KEY = SigningKey.of("a_test", bytes(range(32)))
ALICE, BOB, CAROL = UserID("@alice:one"), UserID("@bob:two"), UserID("@carol:three")


class PureRoom:
    """A room that Alice has created and joined, as a linear history."""

    def __init__(
        self, version: RoomVersion, *, create: dict[str, Any] | None = None, joined: bool = True
    ) -> None:
        self.version = version
        self.state: dict[StateKey, Event] = {}
        self.events: list[Event] = []
        content = {"room_version": version.id, **(create or {})}
        if version.creator_in_content:
            content["creator"] = ALICE
        self.room_id = None if version.room_id_is_create_event_id else RoomID("!room:one")
        self.create = self.has("m.room.create", ALICE, content, state_key="")
        self.room_id = self.create.room_id
        if joined:
            self.has_member(ALICE, "join")

    def makes(
        self,
        event_type: str,
        sender: str,
        content: dict[str, Any] | None = None,
        *,
        state_key: str | None = None,
        **changes: Any,
    ) -> Event:
        """An event on top of the room, whether it may be there or not."""
        content = {} if content is None else content
        keys = auth_keys(event_type, sender, state_key, content, self.version)
        last = self.events[-1] if self.events else None
        fields: dict[str, Any] = {
            "room_id": self.room_id,
            "prev_events": [] if last is None else [last.event_id],
            "auth_events": [self.state[key].event_id for key in keys if key in self.state],
            "depth": len(self.events) + 1,
            "origin_server_ts": 1_700_000_000_000 + len(self.events),
            "server_name": domain_of(sender),
            **changes,
        }
        return build_event(
            self.version,
            type=event_type,
            sender=UserID(sender),
            state_key=state_key,
            content=content,
            key=KEY,
            **fields,
        )

    def makes_member(
        self, sender: str, membership: str, *, target: str | None = None, **content: Any
    ) -> Event:
        return self.makes(
            "m.room.member", sender, {"membership": membership, **content}, state_key=target or sender
        )

    def accept(self, event: Event) -> Event:
        """Put the event into the room unasked."""
        self.events.append(event)
        if event.key is not None:
            self.state[event.key] = event
        return event

    def has(
        self, event_type: str, sender: str, content: dict[str, Any], *, state_key: str | None = None
    ) -> Event:
        return self.accept(self.makes(event_type, sender, content, state_key=state_key))

    def has_member(self, user_id: str, membership: str) -> Event:
        """The user has this membership, however that came about."""
        return self.accept(self.makes_member(user_id, membership))

    def has_power_levels(self, **content: Any) -> Event:
        return self.has("m.room.power_levels", ALICE, content, state_key="")

    def has_join_rule(self, rule: str, **content: Any) -> Event:
        return self.has("m.room.join_rules", ALICE, {"join_rule": rule, **content}, state_key="")

    def check(self, event: Event) -> None:
        """Whether the event may be in the room as it is."""
        check_event_auth(event, self.state)
