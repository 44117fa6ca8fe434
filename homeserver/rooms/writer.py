"""The only writer of events: a draft becomes an event on the room's head, and is announced once it is on the disk.

Everything up to the commit happens without waiting, so writes to a room are serial by themselves and a write can build
on one that is still on its way to the disk; they share a commit. If a commit fails, all writes that built on it fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from homeserver.errors import AuthRejected, BadJson, Forbidden, InvalidEvent, MatrixError, TooLarge
from homeserver.events import state_tree
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.auth_selection import auth_keys
from homeserver.events.builder import build_event
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.events.signatures import SigningKey
from homeserver.events.state_tree import key_hash
from homeserver.ids import EventID, RoomID, ServerName, StateKey, UserID
from homeserver.rooms.appending import Append, persist
from homeserver.rooms.live_room import LiveRoom, is_join
from homeserver.rooms.notifications import notified_by
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.registry import Rooms
from homeserver.rooms.sequence import takes_seq
from homeserver.rooms.timeline import TimelineEvent, TransactionId
from homeserver.rooms.turns import Turns
from homeserver.runtime.clock import Clock
from storage.database import Database
from storage.transaction import Transaction

MAX_PREV_EVENTS = 20
MAX_EVENT_BYTES = 65_536
MAX_TRIES = 10
"""How often an event is made anew because others came while a policy server looked at it."""


class PolicyServers(Protocol):
    """Asks the policy servers that rooms have named; see `homeserver.rooms.policy`."""

    def is_asked(self, room: LiveRoom, event_type: str, state_key: str | None) -> bool: ...

    async def countersigned(self, room: LiveRoom, event: Event) -> Event: ...


@dataclass(slots=True)
class Draft:
    """An event that somebody wants to send; the room decides the rest."""

    type: str
    sender: UserID
    content: dict[str, Any]
    state_key: str | None = None
    redacts: EventID | None = None
    origin_server_ts: int | None = None
    unsigned: dict[str, Any] | None = None
    """What clients are told beside the event, never stored."""

    @property
    def key(self) -> StateKey | None:
        return None if self.state_key is None else (self.type, self.state_key)


class RoomWriter:
    """Builds, authorises and appends the events of local users."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        numbers: EventNumbers,
        clock: Clock,
        policies: PolicyServers,
        *,
        server_name: ServerName,
        signing_key: SigningKey,
    ) -> None:
        self._policies = policies
        self._policy_turns: Turns[RoomID] = Turns()
        self._db = db
        self._rooms = rooms
        self._numbers = numbers
        self._clock = clock
        self._server_name = server_name
        self._key = signing_key

    async def send(
        self, room_id: RoomID, draft: Draft, *, transaction: TransactionId | None = None
    ) -> EventID:
        """Append one event by a local user; a repeated transaction ID answers with the first event.

        Raises:
            NotFound: this server does not know the room.
            Forbidden: the authorization rules refuse the event, or the room's policy server does.
            TooLarge: the event is over 65,536 bytes.
        """
        room = self._rooms.find(room_id) or await self._rooms.load(room_id)
        if self._policies.is_asked(room, draft.type, draft.state_key):
            return await self._send_vouched(room_id, draft, transaction)
        if transaction is not None and transaction in room.sending:
            # The first of the two is on its way to the disk; after this job it is there, or has failed.
            await self._db.run(wait_for_turn)
            room = self._rooms.find(room_id) or await self._rooms.load(room_id)
        if transaction is not None and (known := room.transactions.get(transaction)) is not None:
            return known
        if transaction is not None:
            room.sending.add(transaction)
        try:
            (event,) = await self.append(room, [draft], transaction=transaction)
        finally:
            if transaction is not None:
                room.sending.discard(transaction)
        return event.event_id

    async def append(
        self, room: LiveRoom, drafts: Sequence[Draft], *, transaction: TransactionId | None = None
    ) -> list[Event]:
        """Append several events as one write: all of them or none. No policy server is asked."""
        before = room.head
        append = Append(room, [], before)
        try:
            for draft in drafts:
                self._take(append, self._build(room, draft), draft, transaction)
        except BaseException:
            room.head = before
            raise
        return await self._commit(append)

    async def create(self, version: RoomVersion, room_id: RoomID | None, drafts: Sequence[Draft]) -> LiveRoom:
        """A new room whose first draft is its create event; `room_id` is None where the create event names the room.

        Raises:
            Forbidden: the authorization rules refuse one of the drafts; there is no room then.
        """
        first, *others = drafts
        create = self._sign(version, first, room_id, {}, [])
        room = self._rooms.new(create.room_id, version)
        append = Append(room, [], room.head, is_new_room=True)
        try:
            self._check(create, room)
            self._take(append, create, first, None)
            for draft in others:
                self._take(append, self._build(room, draft), draft, None)
        except BaseException:
            self._rooms.drop(room)
            raise
        await self._commit(append)
        return room

    def prepare(self, room: LiveRoom, draft: Draft) -> Event:
        """The draft as an event that is not sent: another server is to see it first, or to finish it.

        Raises:
            Forbidden: the authorization rules refuse it.
        """
        return self._build(room, draft)

    async def prepare_vouched(self, room: LiveRoom, draft: Draft) -> Event:
        """The same with the signature of the room's policy server, if it has one.

        Raises:
            Forbidden: the authorization rules refuse it, or the policy server does.
        """
        event = self._build(room, draft)
        if self._policies.is_asked(room, draft.type, draft.state_key):
            event = await self._policies.countersigned(room, event)
        return event

    async def _send_vouched(
        self, room_id: RoomID, draft: Draft, transaction: TransactionId | None
    ) -> EventID:
        """One after the other, so that an event still follows the last one when it comes back signed."""
        async with self._policy_turns.of(room_id):
            for _ in range(MAX_TRIES):
                room = await self._rooms.load(room_id)
                if transaction is not None and (known := room.transactions.get(transaction)) is not None:
                    return known
                head = room.head
                event = await self.prepare_vouched(room, draft)
                if room.head is not head or room.stale:
                    continue
                append = Append(room, [], head)
                self._take(append, event, draft, transaction)
                await self._commit(append)
                return event.event_id
        raise MatrixError(f"the room {room_id} does not hold still", status=503)

    def _build(self, room: LiveRoom, draft: Draft) -> Event:
        """The draft as a signed event on the room's head, authorised."""
        state = room.head_state
        keys = auth_keys(draft.type, draft.sender, draft.state_key, draft.content, room.version)
        auth_events = [found.event_id for key in keys if (found := state.get(key)) is not None]
        event = self._sign(room.version, draft, room.room_id, room.head.extremities, auth_events)
        self._check(event, room)
        return event

    def _sign(
        self,
        version: RoomVersion,
        draft: Draft,
        room_id: RoomID | None,
        extremities: Mapping[EventID, int],
        auth_events: list[EventID],
    ) -> Event:
        prev_events = list(extremities)
        if len(prev_events) > MAX_PREV_EVENTS:
            prev_events = sorted(prev_events, key=lambda each: -extremities[each])[:MAX_PREV_EVENTS]
        timestamp = draft.origin_server_ts
        try:
            event = build_event(
                version,
                type=draft.type,
                state_key=draft.state_key,
                sender=draft.sender,
                room_id=room_id,
                content=draft.content,
                prev_events=prev_events,
                auth_events=auth_events,
                depth=max(extremities.values(), default=0) + 1,
                origin_server_ts=self._clock.now_ms() if timestamp is None else timestamp,
                server_name=self._server_name,
                key=self._key,
                redacts=draft.redacts,
            )
        except InvalidEvent as error:
            raise BadJson(str(error)) from error
        if event.size > MAX_EVENT_BYTES:
            raise TooLarge(f"the event has {event.size} bytes; {MAX_EVENT_BYTES} are allowed")
        return event

    def _check(self, event: Event, room: LiveRoom) -> None:
        levels = None if event.type == "m.room.create" else room.power_levels
        try:
            check_event_auth(event, room.head_state, power_levels=levels)
        except AuthRejected as error:
            raise Forbidden(error.reason) from error

    def _take(self, append: Append, event: Event, draft: Draft, transaction: TransactionId | None) -> None:
        """Move the head past the event."""
        room = append.room
        head = room.head
        number = self._numbers.next()
        entry = TimelineEvent(event, number=number, position=0, state_before=head.root)
        entry.extra_unsigned = draft.unsigned
        if transaction is not None:
            entry.device_id, entry.txn_id = transaction.device_id, transaction.txn_id
        if takes_seq(event):
            head = replace(head, last_seq=head.last_seq + 1)
            entry.seq = head.last_seq
        key = event.key
        if key is not None:
            entry.replaced = room.head_state.get(key)
            entry.replaced_number = state_tree.get(head.root, key_hash(*key), room.nodes.__getitem__)
            root, nodes = state_tree.update(head.root, {key_hash(*key): number}, room.nodes.__getitem__)
            room.nodes.update(nodes)
            append.new_nodes.update(nodes)
            append.state_changes[key] = event
            append.numbers[key] = number
            if entry.replaced is not None and is_join(event) and is_join(entry.replaced):
                append.stayed.add(key)
            head = replace(head, root=root, pending={**head.pending, key: event})
        if event.type == "m.room.redaction" and self._may_redact_anybody(room, event):
            append.may_redact |= {event.event_id}
        # Of a flood of extremities only so many are tied together at once.
        left = {key: depth for key, depth in head.extremities.items() if key not in event.prev_events}
        room.head = append.head = replace(head, extremities={**left, event.event_id: event.depth})
        entry.notified = notified_by(room, event)
        append.events.append(entry)

    @staticmethod
    def _may_redact_anybody(room: LiveRoom, event: Event) -> bool:
        levels = room.power_levels
        return levels.user(event.sender) >= levels.redact

    async def _commit(self, append: Append) -> list[Event]:
        room = append.room
        room.writes_in_flight += 1
        try:
            await self._db.run(persist, append, self._server_name)
        except BaseException:
            # Later writes may have built on this one: nothing of the object can be trusted any more.
            self._rooms.drop(room)
            raise
        finally:
            room.writes_in_flight -= 1
        return [entry.event for entry in append.events]


def wait_for_turn(_txn: Transaction) -> None:
    """Jobs commit in order: when this one is done, so are those before it."""
