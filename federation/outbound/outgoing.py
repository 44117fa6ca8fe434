"""What an entry of the log is to other servers: an event or a receipt of ours, or nothing.

An entry that was announced carries what it is about; of one that is read back, the database is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from federation.outbound.pending import OutgoingEvent, Pending
from homeserver.events.event import Event
from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of
from homeserver.runtime.notifier import LogEntry, LogKind
from storage import events as event_rows
from storage import federation as rows
from storage.events import HIDDEN, EventFlag
from storage.transaction import Transaction


class AnnouncedEvent(Protocol):
    """What an announced EVENT entry carries."""

    event: Event
    flags: int


class AnnouncedReceipt(Protocol):
    """What an announced RECEIPT entry carries."""

    @property
    def room_id(self) -> RoomID: ...
    @property
    def user_id(self) -> UserID: ...
    @property
    def receipt_type(self) -> str: ...
    @property
    def thread_id(self) -> str: ...
    @property
    def event_id(self) -> EventID: ...
    @property
    def ts(self) -> int: ...


class OutgoingPdu(NamedTuple):
    """An event that a room's servers are told of."""

    room_id: RoomID
    event: OutgoingEvent
    removed_from: ServerName | None
    """The server whose user it takes out of the room: it is told although it may no longer be in it."""
    came_from: ServerName | None
    """The server that has it already."""


class OutgoingReceipt(NamedTuple):
    """A receipt that a room's servers are told of."""

    room_id: RoomID
    user_id: UserID
    event_id: EventID
    ts: int
    thread_id: str | None

    def add_to(self, pending: Pending) -> None:
        pending.add_receipt(self.room_id, self.user_id, self.event_id, self.ts, self.thread_id)


Outgoing = OutgoingPdu | OutgoingReceipt


def outgoing_of(entry: LogEntry, us: ServerName) -> Outgoing | None:
    """What an announced entry is to other servers."""
    if entry.kind is LogKind.EVENT:
        announced: AnnouncedEvent = entry.payload
        event = announced.event
        if not _is_told(event.sender, announced.flags, us):
            return None
        return _pdu(event.room_id, entry.position, event.event_id, event.sender, event.json, event.key, us)
    receipt: AnnouncedReceipt = entry.payload
    return _receipt(
        receipt.room_id,
        receipt.user_id,
        receipt.receipt_type,
        receipt.event_id,
        receipt.ts,
        receipt.thread_id,
        us,
    )


def recover_outgoing(txn: Transaction, entries: Sequence[LogEntry], us: ServerName) -> list[Outgoing]:
    """What entries without payload are to other servers, in order."""
    # Events of others are rarely told on, and then only for their flag: that takes the row.
    stored = event_rows.by_id(txn, [entry.ref for entry in entries if entry.kind is LogKind.EVENT])
    found: list[tuple[int, Outgoing]] = []
    for entry in entries:
        row = stored.get(EventID(entry.ref)) if entry.kind is LogKind.EVENT else None
        if row is None or entry.room_id is None or entry.user_id is None:
            continue
        if not _is_told(entry.user_id, row.flags, us):
            continue
        key = _decode_key(row.json)
        state_key = None if key.state_key is None else (key.type, key.state_key)
        pdu = _pdu(
            RoomID(entry.room_id), entry.position, row.event_id, entry.user_id, row.json, state_key, us
        )
        found.append((entry.position, pdu))
    receipts = [entry for entry in entries if entry.kind is LogKind.RECEIPT]
    if receipts:
        for one in rows.receipts_between(txn, receipts[0].position, receipts[-1].position):
            receipt = _receipt(
                one.room_id, one.user_id, one.receipt_type, one.event_id, one.ts, one.thread_id, us
            )
            if receipt is not None:
                found.append((one.position, receipt))
    return [outgoing for _, outgoing in sorted(found, key=lambda pair: pair[0])]


class _Key(msgspec.Struct):
    type: str
    state_key: str | None = None


_decode_key: Any = msgspec.json.Decoder(_Key).decode


def _is_told(sender: str, flags: int, us: ServerName) -> bool:
    return not flags & HIDDEN and (domain_of(sender) == us or bool(flags & EventFlag.RELAYED))


def _pdu(
    room_id: RoomID,
    position: int,
    event_id: EventID,
    sender: str,
    json: bytes,
    key: tuple[str, str] | None,
    us: ServerName,
) -> OutgoingPdu:
    origin = domain_of(sender)
    removed_from = None
    # Whoever leaves on their own accord tells their own server.
    if key is not None and key[0] == "m.room.member" and key[1] != sender:
        server = domain_of(key[1])
        if server != us and _decode_membership(json).content.membership in ("leave", "ban"):
            removed_from = server
    return OutgoingPdu(
        room_id, OutgoingEvent(position, event_id, json), removed_from, None if origin == us else origin
    )


class _Membership(msgspec.Struct):
    membership: str


class _Member(msgspec.Struct):
    content: _Membership


_decode_membership: Any = msgspec.json.Decoder(_Member).decode


def _receipt(
    room_id: RoomID,
    user_id: UserID,
    receipt_type: str,
    event_id: EventID,
    ts: int,
    thread_id: str,
    us: ServerName,
) -> OutgoingReceipt | None:
    # Private receipts are nobody else's business, and those of others are told by their servers.
    if receipt_type != "m.read" or domain_of(user_id) != us:
        return None
    return OutgoingReceipt(room_id, user_id, event_id, ts, thread_id or None)
