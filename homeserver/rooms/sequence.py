"""Which events take a local sequence number: those that a conversation shows (the IM API counts by it).

Messages, calls and member changes do; reactions, redactions, edits and other state do not.
"""

from __future__ import annotations

from homeserver.events.event import Event
from homeserver.events.relations import parse_relation

_SILENT = frozenset({"m.reaction", "m.room.redaction"})


def takes_seq(event: Event) -> bool:
    if event.state_key is not None:
        return event.type == "m.room.member"
    if event.type in _SILENT:
        return False
    relation = parse_relation(event.content)
    return relation is None or relation.rel_type != "m.replace"
