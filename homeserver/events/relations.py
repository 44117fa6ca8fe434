"""How events relate to one another: threads, edits, reactions, references and replies.

Spec: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from homeserver.events.event import Event
from homeserver.ids import EventID

ANNOTATION = "m.annotation"
REFERENCE = "m.reference"
REPLACE = "m.replace"
THREAD = "m.thread"

BUNDLED = frozenset({REFERENCE, REPLACE, THREAD})
"""The relation types that the server aggregates and bundles with the event that they relate to.

Spec: https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """What an event says in `m.relates_to`. `rel_type` and `event_id` are both there or both None."""

    rel_type: str | None
    event_id: EventID | None
    key: str | None = None
    """What an annotation says, such as an emoji."""
    in_reply_to: EventID | None = None
    is_falling_back: bool = False
    """The reply is there only for clients that know no threads."""

    @property
    def thread_root(self) -> EventID | None:
        """The event with which the thread begins that this event is directly part of."""
        return self.event_id if self.rel_type == THREAD else None


def parse_relation(content: Mapping[str, Any]) -> Relation | None:
    """The relation that an event's content forms; None if it forms none."""
    raw = content.get("m.relates_to")
    if not isinstance(raw, dict):
        return None
    rel_type, event_id, key = raw.get("rel_type"), raw.get("event_id"), raw.get("key")
    reply = raw.get("m.in_reply_to")
    in_reply_to = reply.get("event_id") if isinstance(reply, dict) else None
    replied = in_reply_to if _is_event_id(in_reply_to) else None
    if isinstance(rel_type, str) and _is_event_id(event_id):
        return Relation(
            rel_type,
            event_id,
            key if isinstance(key, str) else None,
            replied,
            raw.get("is_falling_back") is True,
        )
    return None if replied is None else Relation(None, None, in_reply_to=replied)


def is_replacement(edit: Event, original: Event) -> bool:
    """Whether `edit`, which relates to `original` by `m.replace`, is a valid edit of it.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
    """
    if (edit.room_id, edit.sender, edit.type) != (original.room_id, original.sender, original.type):
        return False
    if edit.state_key is not None or original.state_key is not None:
        return False
    before = parse_relation(original.content)
    if before is not None and before.rel_type == REPLACE:
        return False
    return edit.type == "m.room.encrypted" or isinstance(edit.content.get("m.new_content"), dict)


def _is_event_id(value: object) -> TypeGuard[EventID]:
    return isinstance(value, str) and value.startswith("$")
