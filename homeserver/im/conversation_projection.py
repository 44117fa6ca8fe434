"""The projection of conversations: which rooms are some, their newest messages, and what their users keep with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from homeserver.ids import NAMESPACE, ServerName, domain_of
from homeserver.rooms.timeline import TimelineEvent
from homeserver.runtime.notifier import LogEntry, LogKind
from storage import account_data, im_conversations, im_directs
from storage import events as event_rows
from storage.im_conversations import COUNTABLE, DM, GROUP, ROOM, Head, Mine
from storage.transaction import Transaction

GROUP_TYPE = f"{NAMESPACE}group"
CONVERSATION = f"{NAMESPACE}conversation"
CLEARED = f"{NAMESPACE}cleared"
MARKED_UNREAD = ("m.marked_unread", "com.famedly.marked_unread")
FAVOURITE = "m.favourite"
_TELLING = frozenset({*COUNTABLE, "m.room.redaction"})
OWN_TYPES = ("m.tag", CONVERSATION, CLEARED, *MARKED_UNREAD)


class ConversationProjection:
    """Keeps `im_rooms` and `im_conversations`. It follows after the projection of friendships, which it reads."""

    def __init__(self, server_name: ServerName) -> None:
        self._server_name = server_name

    def wants(self, entry: LogEntry) -> bool:
        if entry.kind is LogKind.EVENT:
            payload = entry.payload
            event = None if payload is None else payload.event
            # A redacted invitation makes a room of two people any other room.
            return event is None or event.state_key is not None or event.type in _TELLING
        return entry.kind is LogKind.HISTORY or (
            entry.kind is LogKind.ROOM_ACCOUNT_DATA and entry.ref in OWN_TYPES
        )

    def apply(self, txn: Transaction, entries: Sequence[LogEntry]) -> None:
        rooms: dict[int, None] = {}
        newest: dict[int, TimelineEvent] = {}
        sent: dict[tuple[int, int], int | None] = {}
        kept: dict[tuple[int, int], None] = {}
        for entry in entries:
            room = txn.find_interned(entry.room_id or "")
            user = txn.find_interned(entry.user_id or "")
            if room is None:
                continue
            is_ours = user is not None and domain_of(entry.user_id or "") == self._server_name
            message = _message_of(entry)
            if message is not None:
                newest[room] = message
                if user is not None and is_ours:
                    sent[user, room] = message.position
            elif entry.kind in (LogKind.HISTORY, LogKind.EVENT):
                rooms[room] = None
                if user is not None and is_ours and entry.payload is None:
                    sent[user, room] = None
            elif user is not None:
                kept[user, room] = None
        for room, message in newest.items():
            if room not in rooms:
                self._move_head(txn, room, message)
        for room in rooms:
            self._read_room(txn, room)
        for (user, room), position in sent.items():
            self._read_sent(txn, user, room, position)
        for user, room in kept:
            self._read_own_data(txn, user, room)

    def rooms(self, txn: Transaction) -> list[int]:
        return im_conversations.rooms(txn, OWN_TYPES)

    def read_again(self, txn: Transaction, rooms: Sequence[int]) -> None:
        for room in rooms:
            im_conversations.remove(txn, room)
            self._read_room(txn, room)
            for user in im_conversations.senders(txn, room):
                if domain_of(txn.interned(user)) == self._server_name:
                    self._read_sent(txn, user, room, None)
            for user in im_conversations.data_owners(txn, room, OWN_TYPES):
                self._read_own_data(txn, user, room)

    def _move_head(self, txn: Transaction, room: int, message: TimelineEvent) -> None:
        """A room that was a conversation has a new message, and nothing else that matters has happened there."""
        head = im_conversations.find_head(txn, room)
        if head is None:
            self._read_room(txn, room)
        elif message.position > head.last_position:
            moved = head._replace(
                last_event=message.number, last_position=message.position, last_seq=message.seq or 0
            )
            im_conversations.save_head(txn, moved)

    def _read_room(self, txn: Transaction, room: int) -> None:
        kind = _kind_of(txn, room)
        if kind is None:
            im_conversations.remove_head(txn, room)
            return
        newest = im_conversations.newest_countable(txn, room)
        number, position, seq = newest if newest is not None else (None, 0, 0)
        im_conversations.save_head(txn, Head(room, kind, number, position, seq))

    @staticmethod
    def _read_sent(txn: Transaction, user: int, room: int, position: int | None) -> None:
        """Where the user's last message is; None if that has to be looked up."""
        mine = im_conversations.find_mine(txn, user, room)
        if position is None:
            position = im_conversations.last_sent(txn, room, user)
        if position != mine.sent_position:
            im_conversations.save_mine(txn, user, room, mine._replace(sent_position=position))

    @staticmethod
    def _read_own_data(txn: Transaction, user: int, room: int) -> None:
        before = im_conversations.find_mine(txn, user, room)
        user_id, room_id = txn.interned(user), txn.interned(room)

        def kept(type: str) -> dict[str, Any]:
            content = account_data.find(txn, user_id, room_id, type)
            value = None if content is None else msgspec.json.decode(content)
            return value if isinstance(value, dict) else {}

        tags = kept("m.tag").get("tags")
        favourite = tags.get(FAVOURITE) if isinstance(tags, dict) else None
        order = favourite.get("order") if isinstance(favourite, dict) else None
        state, cleared = kept(CONVERSATION), kept(CLEARED)
        hidden_seq = state.get("hidden_seq") if state.get("hidden") is True else None
        im_conversations.save_mine(
            txn,
            user,
            room,
            Mine(
                pinned=favourite is not None,
                pin_order=float(order) if isinstance(order, int | float) else 1.0,
                hidden_seq=hidden_seq if isinstance(hidden_seq, int) else None,
                cleared_position=position_of(txn, room, cleared.get("event_id")),
                marked_unread=any(kept(mark).get("unread") is True for mark in MARKED_UNREAD),
                sent_position=before.sent_position,
            ),
        )


def _message_of(entry: LogEntry) -> TimelineEvent | None:
    """The message that an entry tells of, whole: what conversations are ordered by."""
    event = entry.payload
    if entry.kind is not LogKind.EVENT or not isinstance(event, TimelineEvent):
        return None
    is_shown = event.seq is not None and event.position > 0 and not event.flags & event_rows.HIDDEN
    return event if is_shown and event.event.state_key is None and event.event.type in COUNTABLE else None


def position_of(txn: Transaction, room: int, event_id: object) -> int:
    """Where an event of the room stands in the log; 0 if there is none."""
    row = event_rows.find(txn, event_id) if isinstance(event_id, str) else None
    return 0 if row is None or row.room != room else row.position or 0


def _kind_of(txn: Transaction, room: int) -> int | None:
    """What kind of conversation the room is; None for spaces, moments and whatever else is none."""
    kind = txn.find_interned("m.room.create")
    row = txn.one("SELECT json FROM events WHERE room = ? AND type = ? AND flags & 2 = 0 LIMIT 1", room, kind)
    if row is None:
        return None
    room_type = msgspec.json.decode(row[0]).get("content", {}).get("type")
    if room_type == GROUP_TYPE:
        return GROUP
    if room_type is not None:
        return None
    return DM if im_directs.is_direct(txn, room) else ROOM
