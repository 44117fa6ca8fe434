"""What has changed for one user and nobody else, since a place in the log: for the realtime stream."""

from __future__ import annotations

from typing import NamedTuple

from homeserver.ids import EventID, RoomID, UserID
from homeserver.runtime.notifier import LogKind
from storage import account_data, im_conversations, push_rules
from storage.transaction import Transaction


class Hidden(NamedTuple):
    """A message that the user has deleted for themselves."""

    position: int
    room_id: RoomID
    event_id: EventID
    seq: int


class Delivered(NamedTuple):
    """How far a conversation of the user's has come to somebody else's devices."""

    room_id: RoomID
    user_id: UserID
    event_id: EventID
    seq: int
    ts: int


class OwnChanges(NamedTuple):
    """`account_data` is by room and type."""

    account_data: list[tuple[RoomID, str]]
    rules_changed: bool
    hidden: list[Hidden]
    deliveries: list[Delivered]


NOTHING = OwnChanges([], rules_changed=False, hidden=[], deliveries=[])


def own_changes(
    txn: Transaction, user_id: UserID, after: int, until: int, *, has_data: bool, has_deliveries: bool
) -> OwnChanges:
    """All of it in (after, until]; what is said not to have moved is not looked for."""
    data: list[tuple[RoomID, str]] = []
    hidden: list[Hidden] = []
    rules_changed = False
    if has_data:
        rows = account_data.list_after(txn, user_id, after)
        data = [(row.room_id, row.type) for row in rows if row.room_id is not None and row.position <= until]
        rules_changed = after < push_rules.position_of(txn, user_id) <= until
        hidden = _hidden(txn, user_id, after, until)
    deliveries = _deliveries(txn, user_id, after, until) if has_deliveries else []
    return OwnChanges(data, rules_changed, hidden, deliveries)


def _hidden(txn: Transaction, user_id: UserID, after: int, until: int) -> list[Hidden]:
    rows = txn.all(
        "SELECT l.position, r.value, l.ref, e.seq FROM log l JOIN names r ON r.nid = l.room"
        " JOIN events e ON e.event_id = l.ref"
        " WHERE l.position > ? AND l.position <= ? AND l.kind = ? AND l.user_name = ? AND e.seq IS NOT NULL"
        " ORDER BY l.position",
        after,
        until,
        int(LogKind.VISIBILITY),
        txn.find_interned(user_id),
    )
    return [Hidden(int(at), RoomID(room), EventID(event), int(seq)) for at, room, event, seq in rows]


def _deliveries(txn: Transaction, user_id: UserID, after: int, until: int) -> list[Delivered]:
    user = txn.find_interned(user_id)
    rows = txn.all(
        "SELECT d.room, r.value, u.value, d.event_id, d.event_position, d.ts FROM im_deliveries d"
        " JOIN membership m ON m.room = d.room AND m.user_name = ? AND m.membership = 'join'"
        " JOIN names r ON r.nid = d.room JOIN names u ON u.nid = d.user_name"
        " WHERE d.position > ? AND d.position <= ? AND d.user_name <> ? ORDER BY d.position",
        user,
        after,
        until,
        user,
    )
    return [
        Delivered(
            RoomID(room_id),
            UserID(reader),
            EventID(event_id),
            im_conversations.seq_at(txn, int(room), int(position)),
            int(ts),
        )
        for room, room_id, reader, event_id, position, ts in rows
    ]
