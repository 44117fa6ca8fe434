"""What an event carries of those that relate to it: edits, threads and references, bundled into its `unsigned`.

Spec: https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeserver.events.client_format import client_event, client_event_json
from homeserver.events.relations import is_replacement
from homeserver.ids import DeviceID, UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from storage import events as event_rows
from storage import relations
from storage import rooms as room_rows
from storage.database import Database
from storage.transaction import Transaction


class Bundles:
    """Shows events with their aggregations, as one user sees them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def json(
        self, room: LiveRoom, events: Sequence[TimelineEvent], user_id: UserID, device_id: DeviceID | None
    ) -> list[bytes]:
        """The events in their client form, in the same order."""
        ids = [
            event.event.event_id
            for event in events
            if event.event.state_key is None and event.may_have_children
        ]
        bundles = await self._db.read(_bundles, room, ids, user_id) if ids else {}
        shown: list[bytes] = []
        for event in events:
            bundle = bundles.get(event.event.event_id)
            if bundle is None or event.redacted_because is not None:
                shown.append(event.json_for(user_id, device_id))
                continue
            unsigned = {**event.unsigned_for(user_id, device_id), "m.relations": bundle}
            shown.append(client_event_json(event.event, unsigned))
        return shown


def _bundles(
    txn: Transaction, room: LiveRoom, event_ids: Sequence[str], user_id: UserID
) -> dict[str, dict[str, Any]]:
    """The bundles of those among the events that have any."""
    found = relations.children_of_many(txn, event_ids)
    room_number = room_rows.number_of(txn, room.room_id)
    bundles: dict[str, dict[str, Any]] = {}
    for parent, children in found.items():
        bundle: dict[str, Any] = {}
        references = [child for child in children if child.rel_type == "m.reference"]
        if references:
            rows = event_rows.by_number(txn, [child.number for child in references])
            bundle["m.reference"] = {
                "chunk": [
                    {"event_id": rows[child.number].event_id} for child in references if child.number in rows
                ]
            }
        edit = _latest_edit(txn, room, parent, [child for child in children if child.rel_type == "m.replace"])
        if edit is not None:
            bundle["m.replace"] = client_event(edit.event, edit.unsigned())
        if any(child.rel_type == "m.thread" for child in children):
            thread = _thread(txn, room, room_number, parent, children, user_id)
            if thread is not None:
                bundle["m.thread"] = thread
        if bundle:
            bundles[parent] = bundle
    return bundles


def _latest_edit(
    txn: Transaction, room: LiveRoom, parent: str, edits: list[relations.Child]
) -> TimelineEvent | None:
    """The newest valid replacement: by the same sender, of the same type, of an event that is no edit itself."""
    original = event_rows.find(txn, parent) if edits else None
    if original is None:
        return None
    (target,) = timeline_events(txn, [original], room.version)
    rows = event_rows.by_number(txn, [edit.number for edit in edits])
    candidates = [
        entry
        for entry in timeline_events(txn, list(rows.values()), room.version)
        if is_replacement(entry.event, target.event)
    ]
    return max(
        candidates, key=lambda entry: (entry.event.origin_server_ts, entry.event.event_id), default=None
    )


def _thread(
    txn: Transaction,
    room: LiveRoom,
    room_number: int,
    root: str,
    children: list[relations.Child],
    user_id: UserID,
) -> dict[str, Any] | None:
    replies = [child for child in children if child.rel_type == "m.thread"]
    thread = relations.find_thread(txn, room_number, root)
    if thread is None or not replies:
        return None
    row = event_rows.by_number(txn, [thread.latest]).get(thread.latest)
    if row is None:
        return None
    (latest,) = timeline_events(txn, [row], room.version)
    started = event_rows.find(txn, root)
    took_part = any(child.sender == user_id for child in replies)
    if started is not None and not took_part:
        (first,) = timeline_events(txn, [started], room.version)
        took_part = first.event.sender == user_id
    return {
        "latest_event": client_event(latest.event, latest.unsigned()),
        "count": len(replies),
        "current_user_participated": took_part,
    }
