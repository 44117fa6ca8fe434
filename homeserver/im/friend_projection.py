"""The projection of friendships: each room of two people is read anew whenever a membership in it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from homeserver.ids import EventID, RoomID, ServerName, UserID, domain_of, is_user_id, localpart_of
from homeserver.im import direct_rooms
from homeserver.im.direct_rooms import REQUEST, DirectRoom, MemberChange
from homeserver.runtime.notifier import LogEntry, LogKind
from storage import account_data, im_directs
from storage import events as event_rows
from storage.im_circles import CONTACT
from storage.im_directs import Direct, FriendRequest
from storage.transaction import Transaction

DEFAULT_CATEGORY = "default"
_OWN = frozenset({CONTACT, REQUEST})
_TELLING = frozenset({LogKind.EVENT, LogKind.ROOM_STATE, LogKind.HISTORY})


class FriendProjection:
    """Keeps `im_directs` and `im_friend_requests`."""

    def __init__(self, server_name: ServerName) -> None:
        self._server_name = server_name

    def wants(self, entry: LogEntry) -> bool:
        if entry.kind in _TELLING:
            payload = entry.payload
            return payload is None or payload.event.type in ("m.room.member", "m.room.redaction")
        return entry.kind is LogKind.ROOM_ACCOUNT_DATA and entry.ref in _OWN

    def apply(self, txn: Transaction, entries: Sequence[LogEntry]) -> None:
        rooms = dict.fromkeys(entry.room_id for entry in entries if entry.room_id is not None)
        begun = {entry.room_id for entry in entries if self._may_begin(txn, entry)}
        begun |= {entry.room_id for entry in entries if entry.kind is LogKind.ROOM_ACCOUNT_DATA}
        for room_id in rooms:
            room = txn.find_interned(room_id)
            if room is not None and (room_id in begun or im_directs.is_direct(txn, room)):
                self._read_room(txn, RoomID(room_id), room)

    def rooms(self, txn: Transaction) -> list[int]:
        return im_directs.rooms(txn)

    def read_again(self, txn: Transaction, rooms: Sequence[int]) -> None:
        for room in rooms:
            self._read_room(txn, RoomID(txn.interned(room)), room)

    def _is_kept(self, txn: Transaction, room_id: RoomID, changes: Sequence[MemberChange]) -> bool:
        """Whether one of the two keeps the other as a contact, though the invitation has been redacted.

        Other servers may have it as it was: what one of the two takes back must not part them on one side only.
        """
        invited = next((each for each in changes if each.membership == "invite"), None)
        if invited is None or invited.content.keys() - {"membership"}:
            return False
        pair = (invited.sender, invited.user)
        ours = [user for user in pair if domain_of(user) == self._server_name]
        if not any(_own_data(txn, user, room_id, CONTACT) for user in ours):
            return False
        invited.content = {**invited.content, "is_direct": True}
        return True

    @staticmethod
    def _may_begin(txn: Transaction, entry: LogEntry) -> bool:
        """Whether the entry is an invitation that makes a room one of two people."""
        if entry.kind is not LogKind.EVENT:
            return False
        if entry.payload is not None:
            content = entry.payload.event.content
        else:
            row = event_rows.find(txn, entry.ref)
            if row is None:
                return False
            content = msgspec.json.decode(row.json).get("content", {})
        return content.get("is_direct") is True

    def _read_room(self, txn: Transaction, room_id: RoomID, number: int) -> None:
        changes = _changes(txn, number)
        room = direct_rooms.read(changes)
        if room.pair is None and self._is_kept(txn, room_id, changes):
            room = direct_rooms.read(changes)
        # Where forks met, the rules of the room have decided; a replay of its events does not know how.
        room.now.update(im_directs.memberships(txn, number))
        directs = [
            self._side(txn, room_id, room, user, peer)
            for user in room.pair or ()
            if domain_of(user) == self._server_name and (peer := room.peer_of(user)) is not None
        ]
        requests = [_stored(txn, room_id, asked) for asked in room.requests if directs]
        im_directs.replace_room(txn, number, directs, requests)

    @staticmethod
    def _side(txn: Transaction, room_id: RoomID, room: DirectRoom, user: UserID, peer: UserID) -> Direct:
        contact = _own_data(txn, user, room_id, CONTACT)
        remark, category = contact.get("remark"), contact.get("category_id")
        remark = remark if isinstance(remark, str) and remark else None
        return Direct(
            user,
            room_id,
            peer,
            room.now.get(user, "leave"),
            room.before.get(user, "leave"),
            room.now.get(peer, "leave"),
            room.before.get(peer, "leave"),
            room.are_friends,
            room.since_ms,
            remark,
            category if isinstance(category, str) and category else DEFAULT_CATEGORY,
            (remark or localpart_of(peer)).casefold()[:100],
        )


def _stored(txn: Transaction, room_id: RoomID, asked: direct_rooms.Asked) -> FriendRequest:
    noted = _own_data(txn, asked.target, room_id, REQUEST)
    return FriendRequest(
        asked.request_id,
        room_id,
        asked.change.number,
        asked.sender,
        asked.target,
        asked.change.membership == "knock",
        asked.message,
        asked.change.ts,
        asked.expires_ms,
        asked.state,
        asked.handled_ms,
        noted.get("state") == "ignored" and noted.get("id") == asked.request_id,
    )


def _own_data(txn: Transaction, user: UserID, room_id: RoomID, type: str) -> dict[str, Any]:
    content = account_data.find(txn, user, room_id, type)
    # Clients may write anything there.
    value = None if content is None else msgspec.json.decode(content)
    return value if isinstance(value, dict) else {}


def _changes(txn: Transaction, room: int) -> list[MemberChange]:
    changes: list[MemberChange] = []
    for row in im_directs.members(txn, room):
        pdu = msgspec.json.decode(row.json)
        content = pdu.get("content")
        if isinstance(content, dict) and is_user_id(pdu.get("state_key")):
            sender, user = UserID(pdu["sender"]), UserID(pdu["state_key"])
            ts = int(pdu["origin_server_ts"])
            changes.append(MemberChange(row.number, EventID(row.event_id), sender, user, content, ts))
    return changes
