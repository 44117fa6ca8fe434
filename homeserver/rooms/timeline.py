"""The recent end of a room: its last events in arrival order, each with its client form as bytes made once.

Invariant: a `Timeline` holds every visible event of its room after `Timeline.start`, in order of position.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.client_format import client_event, client_event_json
from homeserver.events.event import Event
from homeserver.events.relations import BUNDLED, parse_relation
from homeserver.events.state_tree import NodeHash
from homeserver.ids import DeviceID, EventID, UserID

_encode = msgspec.json.encode
_decode_notified = msgspec.json.Decoder(tuple[int, dict[str, int], str | None]).decode

TIMELINE_EVENTS = 100
"""How many events a room keeps in memory."""


@dataclass(slots=True, frozen=True)
class TransactionId:
    """What a client calls one of its sends; a repetition answers with the first event."""

    user_id: UserID
    device_id: DeviceID | None
    txn_id: str


@dataclass(slots=True, frozen=True)
class Notified:
    """Whom an event notifies: everybody like `default`, but for `exceptions`. Outcomes are those of `Outcome`."""

    default: int
    exceptions: dict[UserID, int]
    thread: EventID | None

    def encode(self) -> bytes:
        """The outcome as it is stored beside the event."""
        return _encode((self.default, self.exceptions, self.thread))

    @classmethod
    def decode(cls, stored: bytes) -> Notified:
        default, exceptions, thread = _decode_notified(stored)
        return cls(
            default,
            {UserID(user): bits for user, bits in exceptions.items()},
            None if thread is None else EventID(thread),
        )


class TimelineEvent:
    """An event at its place in its room, with what Hearth knows about it beyond the PDU."""

    __slots__ = (
        "_json",
        "_notified",
        "device_id",
        "event",
        "extra_unsigned",
        "flags",
        "may_have_children",
        "number",
        "position",
        "redacted_because",
        "replaced",
        "replaced_number",
        "seq",
        "state_before",
        "txn_id",
    )

    def __init__(
        self,
        event: Event,
        *,
        number: int,
        position: int,
        seq: int | None = None,
        flags: int = 0,
        state_before: NodeHash | None = None,
        replaced: Event | None = None,
        replaced_number: int | None = None,
        redacted_because: Event | None = None,
        notified: Notified | bytes | None = None,
        device_id: DeviceID | None = None,
        txn_id: str | None = None,
        may_have_children: bool = True,
    ) -> None:
        self.event = event
        self.number = number
        self.position = position
        self.seq = seq
        self.flags = flags
        self.state_before = state_before
        self.replaced = replaced
        self.replaced_number = replaced_number
        self.redacted_because = redacted_because
        self._notified = notified
        self.device_id = device_id
        self.txn_id = txn_id
        self.may_have_children = may_have_children
        """Whether anything may have to be bundled with it; nobody keeps this up to date."""
        self.extra_unsigned: dict[str, Any] | None = None
        """What only the sender is told."""
        self._json: bytes | None = None

    @property
    def notified(self) -> Notified | None:
        """Whom the event notifies; what came from the store is decoded when somebody asks."""
        notified = self._notified
        if isinstance(notified, bytes):
            notified = self._notified = Notified.decode(notified)
        return notified

    @notified.setter
    def notified(self, notified: Notified | None) -> None:
        self._notified = notified

    def unsigned(self) -> dict[str, Any]:
        """What every reader may see in `unsigned`; relations and transaction IDs are added by readers."""
        unsigned: dict[str, Any] = {}
        if (replaced := self.replaced) is not None:
            unsigned["prev_content"] = replaced.content
            unsigned["prev_sender"] = replaced.sender
            unsigned["replaces_state"] = replaced.event_id
        if self.redacted_because is not None:
            unsigned["redacted_because"] = client_event(self.redacted_because)
        return unsigned

    @property
    def json(self) -> bytes:
        """The event as clients read it, made once and shared by all who may see it."""
        if self._json is None:
            self._json = client_event_json(self.event, self.unsigned())
        return self._json

    def json_for(self, user_id: UserID, device_id: DeviceID | None) -> bytes:
        """The event as one device reads it: its own events tell it the transaction ID."""
        if self.event.sender != user_id or (self.txn_id is None and self.extra_unsigned is None):
            return self.json
        unsigned = self.unsigned_for(user_id, device_id)
        return client_event_json(self.event, unsigned) if unsigned else self.json

    def unsigned_for(self, user_id: UserID, device_id: DeviceID | None) -> dict[str, Any]:
        """`unsigned` as one device reads it."""
        unsigned = self.unsigned()
        if self.event.sender == user_id:
            unsigned.update(self.extra_unsigned or {})
            if self.txn_id is not None and device_id is not None and self.device_id == device_id:
                unsigned["transaction_id"] = self.txn_id
        return unsigned

    def changed(self) -> None:
        """Forget the bytes: the event was redacted, or something that it carries has changed."""
        self._json = None

    def redact(self, redacted: Event, because: Event) -> None:
        self.event = redacted
        self.redacted_because = because
        self.changed()


class Timeline:
    """The last events of a room. `start` is the position after which nothing is missing."""

    def __init__(self, events: list[TimelineEvent], start: int) -> None:
        self._events = deque(events)
        self._by_id = {event.event.event_id: event for event in events}
        self._bundled: set[EventID] | None = None
        self.start = start

    @property
    def bundled(self) -> Collection[EventID]:
        """The events to which some of these relate in a way that is bundled; a few too many at times."""
        if self._bundled is None or len(self._bundled) > 2 * TIMELINE_EVENTS:
            self._bundled = set()
            for event in self._events:
                self._note_relation(self._bundled, event)
        return self._bundled

    @staticmethod
    def _note_relation(bundled: set[EventID], event: TimelineEvent) -> None:
        if b'"m.relates_to"' not in event.event.json:
            return
        relation = parse_relation(event.event.content)
        if relation is not None and relation.event_id is not None and relation.rel_type in BUNDLED:
            bundled.add(relation.event_id)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[TimelineEvent]:
        return iter(self._events)

    def __reversed__(self) -> Iterator[TimelineEvent]:
        return reversed(self._events)

    def append(self, event: TimelineEvent) -> None:
        self._events.append(event)
        self._by_id[event.event.event_id] = event
        if self._bundled is not None:
            self._note_relation(self._bundled, event)
        while len(self._events) > TIMELINE_EVENTS:
            oldest = self._events.popleft()
            self.start = oldest.position
            self._by_id.pop(oldest.event.event_id, None)

    def find(self, event_id: str) -> TimelineEvent | None:
        return self._by_id.get(EventID(event_id))

    def between(self, after: int, until: int) -> list[TimelineEvent] | None:
        """The events in (after, until], oldest first; None if memory does not reach back to `after`."""
        events = self._events
        if not events or events[-1].position <= after:
            return [] if after >= self.start else None
        if after < self.start:
            return None
        found: list[TimelineEvent] = []
        for event in reversed(events):
            if event.position <= after:
                break
            if event.position <= until:
                found.append(event)
        found.reverse()
        return found

    def last(self, limit: int, until: int) -> tuple[list[TimelineEvent], bool]:
        """Up to `limit` events at or before `until`, oldest first, and whether memory held that many."""
        events = list(self._events)
        end = bisect_right(events, until, key=lambda event: event.position)
        first = max(0, end - limit)
        return events[first:end], end - first == limit
