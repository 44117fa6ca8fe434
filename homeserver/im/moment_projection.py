"""The projection of moments: which rooms hold some, whose they are, and which posts are in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from homeserver.events.event import Event
from homeserver.events.room_versions import room_version
from homeserver.ids import RoomID, UserID
from homeserver.im.moment_shapes import MOMENTS, VISIBILITY, is_post
from homeserver.rooms.live_room import LiveRoom
from homeserver.runtime.notifier import LogEntry, LogKind
from storage import im_moments
from storage import rooms as room_rows
from storage.im_moments import Post
from storage.transaction import Transaction


class MomentProjection:
    """Keeps `im_moments_rooms` and `im_moments`. `find_room` gives rooms that are in memory."""

    def __init__(self, find_room: Callable[[RoomID], LiveRoom | None]) -> None:
        self._find_room = find_room

    def wants(self, entry: LogEntry) -> bool:
        if entry.kind is LogKind.HISTORY:
            return True
        if entry.kind is not LogKind.EVENT:
            return False
        room = None if entry.payload is None else self._find_room(RoomID(entry.room_id or ""))
        # Whoever reads on after a restart has no room in memory; live entries come from rooms that are.
        return entry.payload is None if room is None else room.room_type == MOMENTS

    def apply(self, txn: Transaction, entries: Sequence[LogEntry]) -> None:
        of_rooms: dict[str, list[str] | None] = {}
        for entry in entries:
            if entry.room_id is None:
                continue
            if entry.kind is LogKind.HISTORY:
                of_rooms[entry.room_id] = None
            elif (ids := of_rooms.setdefault(entry.room_id, [])) is not None:
                ids.append(entry.ref)
        for room_id, event_ids in of_rooms.items():
            room = txn.find_interned(room_id)
            if room is not None:
                self._read(txn, room, event_ids)

    def rooms(self, txn: Transaction) -> list[int]:
        return im_moments.rooms(txn)

    def read_again(self, txn: Transaction, rooms: Sequence[int]) -> None:
        for room in rooms:
            im_moments.remove(txn, room)
            self._read(txn, room, None)

    @staticmethod
    def _read(txn: Transaction, room: int, event_ids: Sequence[str] | None) -> None:
        """Take in some of a room's events, or all, if it is one of moments."""
        made = im_moments.create_event(txn, room)
        found = None if made is None else room_rows.find(txn, txn.interned(room))
        if made is None or found is None:
            return
        create: dict[str, Any] = msgspec.json.decode(made)
        content = create.get("content", {})
        if content.get("type") != MOMENTS:
            return
        author = UserID(create["sender"])
        im_moments.save_room(txn, room, author, audience_of(content))
        im_moments.remove_redacted(txn, room)
        version = room_version(found[1])
        for number, json, event_id in im_moments.messages(txn, room, event_ids):
            event = Event.from_json(json, version, event_id)
            if is_post(event, author):
                im_moments.save_post(txn, Post(room, event.origin_server_ts, number, event_id))
        im_moments.note_newest(txn, room)


def audience_of(content: dict[str, Any]) -> str:
    """Who is meant to read a room, by its create event; of one that does not say, its members."""
    value = content.get(VISIBILITY)
    return value if value in ("public", "friends", "private") else "friends"
