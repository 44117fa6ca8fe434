"""How far every other server has been told, what it is still owed, and what it has told us."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from homeserver.ids import EventID, RoomID, UserID, domain_of
from homeserver.runtime.notifier import LogKind
from storage.events import HIDDEN, EventFlag
from storage.transaction import Slot, Transaction

_HIDDEN = int(HIDDEN)
_RELAYED = int(EventFlag.RELAYED)


class Destination(NamedTuple):
    """A server that we have, or had, trouble with. `place` is None while it gets events as they happen."""

    server: str
    failing_since_ms: int | None
    retry_at_ms: int | None
    retry_interval_ms: int | None
    place: int | None
    last_success_ms: int | None


class StoredEdu(NamedTuple):
    """An EDU that waits to be sent, and where it stands in its server's queue."""

    position: int
    number: int
    edu: bytes


class MissedEvent(NamedTuple):
    """An event of ours that a server has not been told of."""

    position: int
    event_id: EventID
    room_id: RoomID
    json: bytes


# Destinations.

_DESTINATION = "server, failing_since_ms, retry_at_ms, retry_interval_ms, place, last_success_ms"


def list_destinations(txn: Transaction) -> list[Destination]:
    """Every server that we have a row for, by name."""
    return [Destination(*row) for row in txn.all(f"SELECT {_DESTINATION} FROM destinations ORDER BY server")]


def find_destination(txn: Transaction, server: str) -> Destination | None:
    row = txn.one(f"SELECT {_DESTINATION} FROM destinations WHERE server = ?", server)
    return None if row is None else Destination(*row)


def save_backoff(
    txn: Transaction, server: str, *, failing_since_ms: int, retry_at_ms: int, retry_interval_ms: int
) -> None:
    """The server does not answer; it is asked again at `retry_at_ms`."""
    txn.execute(
        "INSERT INTO destinations (server, failing_since_ms, retry_at_ms, retry_interval_ms)"
        " VALUES (?, ?, ?, ?)"
        " ON CONFLICT (server) DO UPDATE SET failing_since_ms = excluded.failing_since_ms,"
        " retry_at_ms = excluded.retry_at_ms, retry_interval_ms = excluded.retry_interval_ms",
        server,
        failing_since_ms,
        retry_at_ms,
        retry_interval_ms,
    )


def clear_backoff(txn: Transaction, server: str, now_ms: int | None) -> None:
    """The server answers again (`now_ms`), or is to be tried at once (None)."""
    txn.execute(
        "UPDATE destinations SET failing_since_ms = NULL, retry_at_ms = NULL, retry_interval_ms = NULL,"
        " last_success_ms = COALESCE(?, last_success_ms) WHERE server = ?",
        now_ms,
        server,
    )


def save_destination_place(txn: Transaction, server: str, place: int | None) -> None:
    """The server has everything up to `place`; None: it keeps up with the sender again."""
    txn.execute(
        "INSERT INTO destinations (server, place) VALUES (?, ?)"
        " ON CONFLICT (server) DO UPDATE SET place = excluded.place",
        server,
        place,
    )


# EDUs that must arrive.


def queue_edu(
    txn: Transaction, servers: Iterable[str], edu: bytes, *, now_ms: int, key: str | None = None
) -> Slot | None:
    """Owe the servers an EDU (canonical JSON), durably and in order. Give the slot of its log row.

    With a `key`, EDUs of that key that a server has not got yet are dropped: only the newest matters.
    """
    targets = sorted(set(servers))
    if not targets:
        return None
    slot = txn.log(LogKind.FEDERATION_EDU, payload=tuple(targets))
    for number, server in enumerate(targets):
        if key is not None:
            txn.execute("DELETE FROM outbound_edus WHERE server = ? AND edu_key = ?", server, key)
        txn.insert(
            "outbound_edus",
            ("server", "position", "number", "edu_key", "created_ms", "edu"),
            (server, slot, number, key, now_ms, edu),
        )
    return slot


def next_edus(txn: Transaction, server: str, limit: int) -> list[StoredEdu]:
    """The oldest EDUs that the server is owed."""
    rows = txn.all(
        "SELECT position, number, edu FROM outbound_edus WHERE server = ? ORDER BY position, number LIMIT ?",
        server,
        limit,
    )
    return [StoredEdu(int(position), int(number), bytes(edu)) for position, number, edu in rows]


def edus_sent(txn: Transaction, server: str, sent: Collection[StoredEdu]) -> None:
    """The server has got these."""
    txn.many(
        "DELETE FROM outbound_edus WHERE server = ? AND position = ? AND number = ?",
        [(server, edu.position, edu.number) for edu in sent],
    )


def servers_owed_edus(txn: Transaction) -> dict[str, int]:
    """How many EDUs each server is owed."""
    rows = txn.all("SELECT server, COUNT(*) FROM outbound_edus GROUP BY server")
    return {str(server): int(count) for server, count in rows}


def forget_edus(txn: Transaction, before_ms: int) -> int:
    """Give up on EDUs that have waited since before that time; gives how many."""
    return txn.execute("DELETE FROM outbound_edus WHERE created_ms < ?", before_ms)


# What a server has missed.


def missed_events(
    txn: Transaction, server: str, us: str, *, after: int, until: int, limit: int
) -> list[MissedEvent]:
    """Our events in (after, until] that concern the server, oldest first.

    If there are more than `limit`, only the newest of each room: the server asks for what lies before it.
    """
    found: dict[EventID, MissedEvent] = {
        event.event_id: event for event in _removals(txn, server, us, after, until)
    }
    newest: dict[EventID, MissedEvent] = dict(found)
    for room in _rooms_of(txn, server):
        of_room = _own_events(txn, room, server, us, after, until, limit + 1)
        if of_room:
            newest[of_room[0].event_id] = of_room[0]
            found.update((event.event_id, event) for event in of_room)
    chosen = found if len(found) <= limit else newest
    return sorted(chosen.values())


def _rooms_of(txn: Transaction, server: str) -> list[int]:
    rows = txn.all(
        "SELECT DISTINCT m.room, u.value FROM membership m JOIN names u ON u.nid = m.user_name"
        " WHERE m.membership = 'join' AND u.value LIKE ?",
        f"@%:{server}",
    )
    return sorted({int(room) for room, user_id in rows if domain_of(user_id) == server})


def _removals(txn: Transaction, server: str, us: str, after: int, until: int) -> list[MissedEvent]:
    """Where we took the server's users out of rooms that it may no longer be in."""
    rows = txn.all(
        "SELECT e.position, e.event_id, r.value, e.json, u.value, s.value FROM membership m"
        " JOIN names u ON u.nid = m.user_name JOIN events e ON e.number = m.event"
        " JOIN names r ON r.nid = e.room JOIN names s ON s.nid = e.sender"
        " WHERE m.position > ? AND m.membership IN ('leave', 'ban') AND u.value LIKE ?"
        f" AND e.position <= ? AND e.flags & {_HIDDEN} = 0",
        after,
        f"@%:{server}",
        until,
    )
    return [
        MissedEvent(int(position), EventID(event_id), RoomID(room_id), bytes(json))
        for position, event_id, room_id, json, user_id, sender in rows
        if domain_of(user_id) == server and domain_of(sender) == us
    ]


def _own_events(
    txn: Transaction, room: int, server: str, us: str, after: int, until: int, limit: int
) -> list[MissedEvent]:
    """The newest events of the room that are ours to tell, newest first."""
    rows = txn.all(
        "SELECT e.position, e.event_id, r.value, e.json, s.value, e.flags FROM events e"
        " JOIN names r ON r.nid = e.room JOIN names s ON s.nid = e.sender"
        f" WHERE e.room = ? AND e.position > ? AND e.position <= ? AND e.flags & {_HIDDEN} = 0"
        f" AND (s.value LIKE ? OR e.flags & {_RELAYED} <> 0) ORDER BY e.position DESC LIMIT ?",
        room,
        after,
        until,
        f"@%:{us}",
        limit,
    )
    return [
        MissedEvent(int(position), EventID(event_id), RoomID(room_id), bytes(json))
        for position, event_id, room_id, json, sender, flags in rows
        if domain_of(sender) == us or (flags & _RELAYED and domain_of(sender) != server)
    ]


class ReceiptRow(NamedTuple):
    """A receipt that was given at a log position."""

    position: int
    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str
    event_id: EventID
    ts: int


def receipts_between(txn: Transaction, first: int, last: int) -> list[ReceiptRow]:
    """The receipts given from one log position to another, as far as they still stand."""
    rows = txn.all(
        "SELECT l.position, r.value, u.value, c.receipt_type, c.thread_id, c.event_id, c.ts FROM log l"
        " JOIN names r ON r.nid = l.room JOIN names u ON u.nid = l.user_name"
        " JOIN receipts c ON c.room = l.room AND c.user_name = l.user_name AND c.position = l.position"
        " WHERE l.position BETWEEN ? AND ? AND l.kind = ? ORDER BY l.position",
        first,
        last,
        int(LogKind.RECEIPT),
    )
    return [ReceiptRow(*row) for row in rows]


# What servers have told us.


def find_answer(txn: Transaction, origin: str, txn_id: str) -> bytes | None:
    """What we answered to this transaction when it first came."""
    answer = txn.value(
        "SELECT answer FROM received_transactions WHERE origin = ? AND txn_id = ?", origin, txn_id
    )
    return None if answer is None else bytes(answer)


def save_answer(txn: Transaction, origin: str, txn_id: str, answer: bytes, *, now_ms: int) -> None:
    txn.put(
        "received_transactions",
        ("origin", "txn_id", "received_ms", "answer"),
        (origin, txn_id, now_ms, answer),
        ("origin", "txn_id"),
    )


def is_new_edu(txn: Transaction, origin: str, message_id: str, *, now_ms: int) -> bool:
    """Whether this is the first time that the server sends the message; remembers it."""
    return (
        txn.execute(
            "INSERT INTO received_edus (origin, message_id, received_ms) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            origin,
            message_id,
            now_ms,
        )
        == 1
    )


def forget_received(txn: Transaction, before_ms: int) -> None:
    """Nobody repeats a transaction this old."""
    txn.execute("DELETE FROM received_transactions WHERE received_ms < ?", before_ms)
    txn.execute("DELETE FROM received_edus WHERE received_ms < ?", before_ms)
