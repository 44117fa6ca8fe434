"""Relations between events, threads, and redactions that wait for their target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeserver.ids import EventID
from storage.transaction import Slot, Transaction


class Child(NamedTuple):
    """An event that relates to another."""

    number: int
    rel_type: str
    type: str
    sender: str
    key: str | None


class ThreadRow(NamedTuple):
    """A thread: its root, the number and position of its newest event, and how many replies it has."""

    root: EventID
    latest: int
    position: int
    replies: int


def insert(
    txn: Transaction, *, parent: str, child: int, rel_type: str, event_type: str, sender: str, key: str | None
) -> None:
    txn.insert(
        "relations",
        ("parent", "child", "rel_type", "type", "sender", "aggregation_key"),
        (parent, child, rel_type, txn.intern(event_type), txn.intern(sender), key),
    )


def remove(txn: Transaction, room: int, child: int) -> None:
    """A redacted event of the room relates to nothing any more; a thread loses a reply."""
    rows = txn.all("SELECT parent, rel_type FROM relations WHERE child = ?", child)
    txn.execute("DELETE FROM relations WHERE child = ?", child)
    for parent, rel_type in rows:
        if rel_type == "m.thread":
            txn.execute("UPDATE threads SET replies = replies - 1 WHERE room = ? AND root = ?", room, parent)


def children(txn: Transaction, parent: str, *, rel_type: str | None = None) -> list[Child]:
    """Everything that relates to `parent`, oldest first."""
    only = "" if rel_type is None else "AND c.rel_type = ?"
    params = (parent,) if rel_type is None else (parent, rel_type)
    rows = txn.all(
        "SELECT c.child, c.rel_type, t.value, s.value, c.aggregation_key FROM relations c"
        f" JOIN names t ON t.nid = c.type JOIN names s ON s.nid = c.sender WHERE c.parent = ? {only} ORDER BY c.child",
        *params,
    )
    return [Child(*row) for row in rows]


def has_annotated(txn: Transaction, parent: str, sender: str, event_type: str, key: str) -> bool:
    """Whether the sender has put this annotation on the event already."""
    return any(
        child.sender == sender and child.key == key and child.type == event_type
        for child in children(txn, parent, rel_type="m.annotation")
    )


def advance_thread(txn: Transaction, *, room: int, root: str, latest: int, position: Slot) -> None:
    """A reply has come: it is the thread's newest event."""
    known = txn.value("SELECT replies FROM threads WHERE room = ? AND root = ?", room, root)
    txn.put(
        "threads",
        ("room", "root", "latest", "latest_position", "replies"),
        (room, root, latest, position, int(known or 0) + 1),
        ("room", "root"),
    )


def threads(txn: Transaction, room: int, *, before: int | None, limit: int) -> list[ThreadRow]:
    """The room's threads, the one with the newest reply first; `before` is a position to go on from."""
    floor = "" if before is None else "AND latest_position < ?"
    params = (room,) if before is None else (room, before)
    rows = txn.all(
        f"SELECT root, latest, latest_position, replies FROM threads WHERE room = ? {floor}"
        " AND replies > 0 ORDER BY latest_position DESC LIMIT ?",
        *params,
        limit,
    )
    return [ThreadRow(*row) for row in rows]


def find_thread(txn: Transaction, room: int, root: str) -> ThreadRow | None:
    row = txn.one(
        "SELECT root, latest, latest_position, replies FROM threads WHERE room = ? AND root = ?", room, root
    )
    return None if row is None else ThreadRow(*row)


def wait_for_target(txn: Transaction, target: str, redaction: int) -> None:
    txn.put("pending_redactions", ("target", "redaction"), (target, redaction), ("target", "redaction"))


def waiting_redactions(txn: Transaction, target: str) -> list[int]:
    return [row[0] for row in txn.all("SELECT redaction FROM pending_redactions WHERE target = ?", target)]


def children_of_many(txn: Transaction, parents: Sequence[str]) -> dict[str, list[Child]]:
    """What relates to each of the events, oldest first; events without relations are left out."""
    found: dict[str, list[Child]] = {}
    for first in range(0, len(parents), 500):
        chunk = parents[first : first + 500]
        marks = ", ".join("?" * len(chunk))
        rows = txn.all(
            "SELECT c.parent, c.child, c.rel_type, t.value, s.value, c.aggregation_key FROM relations c"
            " JOIN names t ON t.nid = c.type JOIN names s ON s.nid = c.sender"
            f" WHERE c.parent IN ({marks}) AND c.rel_type <> 'm.annotation' ORDER BY c.child",
            *chunk,
        )
        for parent, *child in rows:
            found.setdefault(str(parent), []).append(Child(*child))
    return found


def with_children(txn: Transaction, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that others relate to."""
    if not event_ids:
        return set()
    rows = txn.all(
        f"SELECT DISTINCT parent FROM relations WHERE parent IN ({', '.join('?' * len(event_ids))})",
        *event_ids,
    )
    return {str(parent) for (parent,) in rows}
