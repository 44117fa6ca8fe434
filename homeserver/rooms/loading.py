"""Reads a whole room from the database into memory, in one snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from homeserver.events import state_tree
from homeserver.events.event import Event
from homeserver.events.push_rules import CompiledRules
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.events.state_tree import NodeHash
from homeserver.ids import DeviceID, EventID, RoomID, ServerName, StateKey, UserID, domain_of
from homeserver.rooms.live_room import Head, LiveRoom, Receipt, ReceiptKey
from homeserver.rooms.timeline import TIMELINE_EVENTS, Timeline, TimelineEvent, TransactionId
from homeserver.rooms.unread import NotifyRecord, Unread
from storage import backward_extremities, partial_rooms
from storage import events as event_rows
from storage import membership as membership_rows
from storage import receipts as receipt_rows
from storage import rooms as room_rows
from storage.events import EventRow
from storage.transaction import Transaction

NEWEST = 2**62


class RuleSource(Protocol):
    """Where a user's push rules come from."""

    def compiled_rules(self, txn: Transaction, user_id: UserID) -> CompiledRules: ...


def load_room(
    txn: Transaction, room_id: RoomID, server_name: ServerName, rules: RuleSource
) -> LiveRoom | None:
    """The room as it stands on the disk; None if there is none, or if only an invite to it is known."""
    found = room_rows.find(txn, room_id)
    if found is None:
        return None
    number, version_id = found
    stored = room_rows.load_head(txn, number)
    if stored is None:
        return None
    version = room_version(version_id)
    nodes: dict[NodeHash, bytes] = {}

    def load_node(node: NodeHash) -> bytes:
        if node not in nodes:
            nodes.update(room_rows.load_state_nodes(txn, number, [node]))
        return nodes[node]

    numbers = [event_number for _, event_number in state_tree.items(stored.state_root, load_node)]
    rows = event_rows.by_number(txn, numbers)
    state: dict[StateKey, Event] = {}
    for row in rows.values():
        event = event_of(row, version)
        if event.key is not None:
            state[event.key] = event
    recent = event_rows.before(txn, number, NEWEST, TIMELINE_EVENTS, after=0)
    recent.reverse()
    entries = timeline_events(txn, recent, version)
    start = 0 if len(entries) < TIMELINE_EVENTS else entries[0].position - 1
    records = [
        NotifyRecord(entry.position, entry.event.sender, entry.notified)
        for entry in entries
        if entry.notified
    ]
    receipts = {
        ReceiptKey(UserID(row.user_id), row.receipt_type, row.thread_id): Receipt(
            EventID(row.event_id), row.ts, row.position, row.event_position
        )
        for row in receipt_rows.list_of_room(txn, number)
    }
    room = LiveRoom(
        room_id,
        version,
        server_name=server_name,
        head=Head(stored.state_root, stored.extremities, {}, stored.last_seq),
        nodes=nodes,
        state=state,
        timeline=Timeline(entries, start),
        unread=Unread(records, start),
        receipts=receipts,
        rules=_rules(txn, state, server_name, rules),
        position=entries[-1].position if entries else 0,
        partial_state=room_rows.is_partial(txn, number),
    )
    room.completed_at = partial_rooms.completed_at(txn, number)
    partial = partial_rooms.find(txn, room_id) if room.partial_state else None
    if partial is not None:
        room.partial_servers = frozenset(partial.servers)
    room.has_gap = backward_extremities.exist(txn, number)
    room.has_older = room.has_gap or event_rows.reaches_back(txn, number)
    room.joined_at = membership_rows.stays(txn, number)
    for sender, device, txn_id, event_id in event_rows.recent_transactions(txn, number):
        key = TransactionId(UserID(sender), None if device is None else DeviceID(device), txn_id)
        room.transactions[key] = EventID(event_id)
    return room


def _rules(
    txn: Transaction, state: Iterable[StateKey], server_name: ServerName, rules: RuleSource
) -> dict[UserID, CompiledRules]:
    users = (UserID(key) for event_type, key in state if event_type == "m.room.member")
    return {user: rules.compiled_rules(txn, user) for user in users if domain_of(user) == server_name}


def event_of(row: EventRow, version: RoomVersion) -> Event:
    """The stored event; its bytes were checked when they came."""
    return Event.from_json(row.json, version, row.event_id)


def timeline_events(txn: Transaction, rows: list[EventRow], version: RoomVersion) -> list[TimelineEvent]:
    """Rows as entries of a timeline, with what they replaced and what redacted them."""
    wanted = {row.replaces for row in rows} | {row.redacted_by for row in rows}
    others = event_rows.by_number(txn, (number for number in wanted if number is not None))

    def other(number: int | None) -> Event | None:
        row = None if number is None else others.get(number)
        return None if row is None else event_of(row, version)

    return [
        TimelineEvent(
            event_of(row, version),
            number=row.number,
            position=row.position or 0,
            seq=row.seq,
            flags=row.flags,
            state_before=row.state_before,
            replaced=other(row.replaces),
            replaced_number=row.replaces,
            redacted_because=other(row.redacted_by),
            notified=row.notify,
            device_id=None if row.device is None else DeviceID(row.device),
            txn_id=row.txn_id,
            may_have_children=bool(row.may_have_children),
        )
        for row in rows
    ]
