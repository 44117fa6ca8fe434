"""Reading messages: by sequence number, across conversations, and what became of one that was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.errors import InvalidParam, NotFound
from homeserver.http.requester import Requester
from homeserver.ids import EventID, RoomID, UserID
from homeserver.im.conversations import KINDS
from homeserver.im.deliveries import is_followed
from homeserver.im.follower import Follower
from homeserver.im.message_views import MessageViews, mark_late
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom, ReceiptKey
from homeserver.rooms.loading import event_of, timeline_events
from homeserver.rooms.timeline import TimelineEvent
from storage import events as event_rows
from storage import im_conversations, im_deliveries, im_messages
from storage.database import Database
from storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Span:
    """Which messages of a conversation somebody wants; without any bound the newest."""

    before: int | None = None
    after: int | None = None
    around: int | None = None
    limit: int = 20


MAX_FETCHES = 10
"""How often one request asks other servers for more of a room's past."""


class MessageReading:
    """Reads messages for users."""

    def __init__(
        self, db: Database, access: RoomAccess, history: History, views: MessageViews, follower: Follower
    ) -> None:
        self._db = db
        self._access = access
        self._history = history
        self._views = views
        self._follower = follower

    async def page(self, who: Requester, cid: RoomID, wanted: Span) -> dict[str, Any]:
        """Messages in order of their sequence numbers, without a gap: what is not to be seen leaves a tombstone.

        Raises:
            Forbidden: the user has nothing to do with the conversation.
        """
        if sum(bound is not None for bound in (wanted.before, wanted.after, wanted.around)) > 1:
            raise InvalidParam("before_seq, after_seq and around exclude one another")
        sight = await self._access.sight(cid, who.user_id)
        room = sight.room
        found, span, before = await self._db.read(_page, room, wanted, sight.position)
        for _ in range(MAX_FETCHES):
            if not _reaches_back(wanted, found) or not await self._history.fetch_earlier(room):
                break
            found, span, before = await self._db.read(_page, room, wanted, sight.position)
        items = await self._views.show(room, who.user_id, who.device_id, found)
        mark_late(items, before)
        answer: dict[str, Any] = {"items": items}
        if found:
            first, last = found[0].seq, found[-1].seq
            answer |= {"first_seq": first, "last_seq": last}
            assert first is not None and last is not None
            if wanted.after is not None and last < span[1]:
                answer["next_batch"] = f"a{last}"
            elif wanted.after is None and (first > span[0] or room.has_gap):
                answer["next_batch"] = f"b{first}"
        return answer

    async def one(self, who: Requester, event_id: EventID) -> dict[str, Any]:
        """
        Raises:
            NotFound: there is none that the user may see.
        """
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        (item,) = await self._views.show(room, who.user_id, who.device_id, [entry])
        if "hidden" in item:
            raise NotFound(f"no event {event_id}")
        return item

    async def across(
        self,
        who: Requester,
        kind: str | None,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Messages of all conversations of a kind, and the place to go on from.

        The newest before a place, or the oldest after one: what a client that was away has missed.
        """
        await self._follower.settled()
        rows = await self._db.read(_across, who.user_id, kind, before, after, limit + 1)
        items: list[dict[str, Any]] = []
        place = None
        for room_id, number, position in rows[:limit]:
            room = await self._access.joined(room_id, who.user_id)
            (entry,) = await self._db.read(_entries, room, [number])
            items += await self._views.show(room, who.user_id, who.device_id, [entry])
            place = position
        return items, place if len(rows) > limit else None

    async def status(self, who: Requester, event_id: EventID) -> dict[str, Any]:
        """How far one's message has come: sent, delivered or read, and to whom.

        Raises:
            NotFound: it is not the user's message.
        """
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        if entry.event.sender != who.user_id:
            raise NotFound("this is not your message")
        others = [user for user in room.joined if user != who.user_id]
        read = sorted(user for user in others if _has_read(room, user, entry.position))
        delivered = set(read)
        if is_followed(room):
            for each in await self._db.read(im_deliveries.list_of_room, room.room_id):
                if each.event_position >= entry.position and each.user_id in room.joined:
                    delivered.add(each.user_id)
        delivered.discard(who.user_id)
        state = "sent"
        if others and len(read) == len(others):
            state = "read"
        elif others and len(delivered) == len(others):
            state = "delivered"
        return {"state": state, "delivered_to": sorted(delivered), "read_by": read}

    async def readers(self, who: Requester, event_id: EventID) -> list[dict[str, Any]]:
        """Who has read a message, and when they said so."""
        room, entry = await self._access.event_anywhere(event_id, who.user_id)
        found = []
        for user in sorted(room.joined):
            receipt = room.receipts.get(ReceiptKey(user, "m.read", ""))
            if user != entry.event.sender and receipt and receipt.event_position >= entry.position:
                found.append({"user_id": user, "ts": receipt.ts})
        return found


def _has_read(room: LiveRoom, user: UserID, position: int) -> bool:
    keys = (ReceiptKey(user, "m.read", ""), ReceiptKey(user, "m.read", "main"))
    return any((receipt := room.receipts.get(key)) and receipt.event_position >= position for key in keys)


def _reaches_back(wanted: Span, found: Sequence[TimelineEvent]) -> bool:
    """Whether a page would have held older messages, had there been any."""
    if wanted.after is not None:
        return False
    if wanted.around is None:
        return len(found) < wanted.limit
    first = wanted.around - wanted.limit // 2
    return not found or (found[0].seq or 0) > first


def _page(
    txn: Transaction, room: LiveRoom, wanted: Span, until: int
) -> tuple[list[TimelineEvent], tuple[int, int], int]:
    """The messages, the room's first and last numbers, and when the message before these was sent."""
    number = txn.find_interned(room.room_id)
    assert number is not None
    span = im_messages.span(txn, number)
    if span is None:
        return [], (0, 0), 0
    limit = wanted.limit
    if wanted.after is not None:
        first, last = wanted.after + 1, wanted.after + limit
    elif wanted.around is not None:
        first, last = wanted.around - limit // 2, wanted.around + (limit - 1) // 2
    else:
        last = span[1] if wanted.before is None else min(wanted.before - 1, span[1])
        first = last - limit + 1
    rows = [row for row in event_rows.by_seq(txn, number, first, last) if (row.position or 0) <= until]
    before = event_rows.by_seq(txn, number, first - 1, first - 1)
    sent_ms = event_of(before[0], room.version).origin_server_ts if before else 0
    return timeline_events(txn, rows, room.version), span, sent_ms


def _across(
    txn: Transaction,
    user_id: UserID,
    kind: str | None,
    before: int | None,
    after: int | None,
    limit: int,
) -> list[tuple[RoomID, int, int]]:
    listed = {
        each.room: each.room_id
        for each in im_conversations.list_of_user(txn, user_id)
        if kind is None or KINDS.get(each.kind) == kind
    }
    rows = im_messages.across(txn, list(listed), before=before, after=after, limit=limit)
    return [(listed[row.room], row.number, row.position or 0) for row in rows]


def _entries(txn: Transaction, room: LiveRoom, numbers: list[int]) -> list[TimelineEvent]:
    rows = event_rows.by_number(txn, numbers)
    return timeline_events(txn, [rows[number] for number in numbers], room.version)
