"""What local users have to do with rooms that this server is not in: invitations, knocks, and how they ended.

The event is kept beside the room, without a place in it; what the user may see of the room comes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from homeserver.events.event import Event
from homeserver.events.room_versions import room_version
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogKind
from storage import events as event_rows
from storage import membership, stripped
from storage import rooms as room_rows
from storage.database import Database
from storage.events import EventFlag
from storage.transaction import Transaction


class OutsideMemberships:
    """Stores member events of rooms that other servers keep."""

    def __init__(self, db: Database, numbers: EventNumbers) -> None:
        self._db = db
        self._numbers = numbers

    async def store(self, event: Event, shown_state: Sequence[dict[str, Any]] | None = None) -> None:
        """The local user's membership is now this; `shown_state` is what they may see of the room, stripped."""
        entry = TimelineEvent(event, number=self._numbers.next(), position=0, flags=int(EventFlag.OUTLIER))
        await self._db.run(_store, entry, shown_state)


def _store(txn: Transaction, entry: TimelineEvent, shown_state: Sequence[dict[str, Any]] | None) -> None:
    event = entry.event
    user_id = UserID(event.state_key or "")
    if event_rows.find(txn, event.event_id) is not None:
        return
    found = room_rows.find(txn, event.room_id)
    entry.replaced = None if found is None else _current(txn, event.room_id, user_id, found[1])
    room = room_rows.create(txn, event.room_id, event.version.id) if found is None else found[0]
    slot = txn.log(
        LogKind.EVENT, room_id=event.room_id, user_id=event.sender, ref=event.event_id, payload=entry
    )
    event_rows.insert(
        txn,
        number=entry.number,
        event_id=event.event_id,
        room=room,
        position=None,
        depth=event.depth,
        type=event.type,
        state_key=event.state_key,
        sender=event.sender,
        origin_server_ts=event.origin_server_ts,
        flags=entry.flags,
        seq=None,
        state_before=None,
        replaces=None,
        notify=None,
        device=None,
        txn_id=None,
        json=event.json,
    )
    membership.save(
        txn,
        room=room,
        user_id=user_id,
        membership=str(event.content.get("membership")),
        event=entry.number,
        sender=event.sender,
        position=slot,
        joined_at=slot,
        local=True,
    )
    if shown_state is not None:
        stripped.save(txn, event.room_id, user_id, msgspec.json.encode(list(shown_state)))


def _current(txn: Transaction, room_id: RoomID, user_id: UserID, version: str) -> Event | None:
    """The member event that is replaced."""
    before = membership.find(txn, room_id, user_id)
    row = None if before is None else event_rows.by_number(txn, [before.event]).get(before.event)
    return None if row is None else Event.from_json(row.json, room_version(version), row.event_id)


def servers_in(shown_state: Sequence[dict[str, Any]]) -> list[ServerName]:
    """The servers of the users who made what is shown of a room: some of them are in it."""
    senders = [sender for each in shown_state if isinstance(sender := each.get("sender"), str)]
    return list(dict.fromkeys(domain_of(sender) for sender in senders))
