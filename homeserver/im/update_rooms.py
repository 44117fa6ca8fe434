"""What has happened in one room since a token, as frames: said, changed, taken back, read, and who came and went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from homeserver.ids import RoomID, UserID
from homeserver.im import update_frames, update_groups, update_moments
from homeserver.im.follower import Follower
from homeserver.im.group_shapes import GROUP
from homeserver.im.message_views import MessageViews, mark_late
from homeserver.im.moment_shapes import MOMENTS
from homeserver.im.update_frames import Frame
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.registry import Rooms
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.ephemeral import receipts_after, typing_event
from homeserver.sync.feeds import RoomView
from homeserver.sync.request import SyncRequest
from storage import events as event_rows
from storage import im_conversations, im_directs
from storage.database import Database
from storage.im_directs import Direct, FriendRequest
from storage.transaction import Transaction

MOST_EVENTS = 50
"""So many of one room are told; of those before there is a `gap`, and the client asks for them."""


@dataclass(slots=True)
class RoomUpdate:
    """The frames of a room with their positions, and whether the conversation as such looks different now."""

    frames: list[tuple[int, Frame]] = field(default_factory=list)
    is_changed: bool = False


class RoomUpdates:
    """Looks into the rooms that moved."""

    def __init__(
        self, db: Database, follower: Follower, rooms: Rooms, views: MessageViews, stripped: StrippedStates
    ) -> None:
        self._db = db
        self._follower = follower
        self._rooms = rooms
        self._views = views
        self._stripped = stripped

    async def of(
        self, request: SyncRequest, room_id: RoomID, view: RoomView, until: StreamToken
    ) -> RoomUpdate:
        """What the requester is told of a room; nothing of spaces and whatever else is no conversation."""
        if view.membership != "join":
            return await self._outside(request, room_id, view)
        room = self._rooms.find(room_id) or await self._rooms.load(room_id)
        if room.room_type == MOMENTS:
            return await self._moments(request, room, view, until)
        if room.room_type in (None, GROUP):
            return await self._conversation(request, room, view, until)
        return RoomUpdate()

    async def _conversation(
        self, request: SyncRequest, room: LiveRoom, view: RoomView, until: StreamToken
    ) -> RoomUpdate:
        since, user_id = _since(request), request.user_id
        update = RoomUpdate(is_changed=view.joined_at > since.position)
        after = max(since.position, view.joined_at - 1)
        events = await self._events(room, after, until.position)
        if len(events) > MOST_EVENTS:
            events = events[-MOST_EVENTS:]
            gap = await self._db.read(_gap, room, after, events)
            if gap is not None:
                update.frames.append((events[0].position - 1, gap))
        # Whatever relates to one of them came after it, and so is among them as well.
        related = any("m.relates_to" in entry.event.content for entry in events)
        items = await self._views.show(room, user_id, request.device_id, events, related=related)
        mark_late(items, _said_before(room, events))
        targets = await self._targets(room, events)
        shown = await self._views.show(room, user_id, request.device_id, list(targets.values()))
        target_items = dict(zip(targets, shown, strict=True))
        for entry, item in zip(events, items, strict=True):
            for frame in self._of_event(entry, item, room, user_id, targets, target_items):
                update.frames.append((entry.position, frame))
            if entry.event.type in ("m.room.name", "m.room.avatar") and entry.event.state_key == "":
                update.is_changed = True
        if room.room_type is None and (moved := _last_move(events)) is not None:
            update.frames += await self._friend(user_id, room.room_id, moved)
        update.frames += await self._passing(request, room, view, until, update)
        return update

    @staticmethod
    def _of_event(
        entry: TimelineEvent,
        item: Frame,
        room: LiveRoom,
        user_id: UserID,
        targets: dict[str, TimelineEvent],
        target_items: dict[str, Frame],
    ) -> Iterable[Frame]:
        event = entry.event
        if entry.seq is not None:
            yield update_frames.numbered(entry, item)
        if event.state_key is not None:
            if room.room_type == GROUP:
                yield from update_groups.of_state(entry, room, user_id)
            return
        if entry.seq is not None or "hidden" in item or entry.redacted_because is not None:
            return
        target_id = update_frames.target_of(event)
        target, shown = targets.get(target_id or ""), target_items.get(target_id or "", {})
        found: Frame | None = None
        if event.type == "m.reaction":
            found = update_frames.reaction(event)
        elif target is not None and "hidden" not in shown:
            if event.type == "m.room.redaction":
                found = update_frames.taken_back(event, target, shown)
            elif shown.get("edited_ts") is not None:
                found = update_frames.edit(entry, shown)
        if found is not None:
            yield found

    async def _passing(
        self, request: SyncRequest, room: LiveRoom, view: RoomView, until: StreamToken, update: RoomUpdate
    ) -> list[tuple[int, Frame]]:
        """Who has read, and who types."""
        since, end = _since(request), until.position
        frames: list[tuple[int, Frame]] = []
        receipts = receipts_after(room, request.user_id, since.position)
        places = [each.event_position for _, each in receipts]
        seqs = await self._db.read(_seqs, room.room_id, places) if places else []
        for (key, receipt), seq in zip(receipts, seqs, strict=True):
            own = key.user_id == request.user_id
            update.is_changed = update.is_changed or own
            frame: Frame = {"type": "receipt", "cid": room.room_id, "user_id": key.user_id, "seq": seq}
            frame |= {"event_id": receipt.event_id, "ts": receipt.ts}
            frames.append((end, frame))
        is_new = view.joined_at > since.position
        if room.typing if is_new else room.typing_position > since.ephemeral:
            users = typing_event(room)["content"]["user_ids"]
            frames.append((end, {"type": "typing", "cid": room.room_id, "user_ids": users}))
        return frames

    async def _moments(
        self, request: SyncRequest, room: LiveRoom, view: RoomView, until: StreamToken
    ) -> RoomUpdate:
        after = max(_since(request).position, view.joined_at - 1)
        events = (await self._events(room, after, until.position))[-MOST_EVENTS:]
        items = await self._views.show(room, request.user_id, request.device_id, events, related=False)
        targets = await self._targets(room, events)
        update = RoomUpdate()
        for entry, item in zip(events, items, strict=True):
            frame = update_moments.of_event(entry, room.create_event.sender, targets)
            if frame is not None and "hidden" not in item:
                update.frames.append((entry.position, frame))
        return update

    async def _outside(self, request: SyncRequest, room_id: RoomID, view: RoomView) -> RoomUpdate:
        """The user is invited, has knocked, or is not in the room any more."""
        user_id, update = request.user_id, RoomUpdate(is_changed=view.previous == "join")
        if view.membership == "invite" and view.sender in await self._views.ignored(user_id):
            # Whoever is blocked may ask, and nobody hears it.
            return update
        frames = await self._friend(user_id, room_id, view.since)
        if frames:
            update.frames += frames
        elif view.membership == "invite" and not self._has_come(room_id, user_id):
            frame = update_frames.invitation(room_id, await self._stripped.of(room_id, user_id), user_id)
            if frame["room_type"] in (None, GROUP):
                update.frames.append((view.since, frame))
        elif view.membership in ("leave", "ban") and view.previous is not None:
            member = {"user_id": user_id, "membership": view.membership, "by": view.sender}
            update.frames.append((view.since, {"type": "group.member", "gid": room_id, **member}))
        return update

    def _has_come(self, room_id: RoomID, user_id: UserID) -> bool:
        """Whether an invitation has been accepted meanwhile, as those to moments are at once."""
        room = self._rooms.find(room_id)
        return room is not None and room.is_joined(user_id)

    async def _friend(self, user_id: UserID, room_id: RoomID, position: int) -> list[tuple[int, Frame]]:
        await self._follower.settled()
        direct, request = await self._db.read(_direct, user_id, room_id)
        return [] if direct is None else [(position, update_frames.friend(direct, request))]

    async def _events(self, room: LiveRoom, after: int, until: int) -> list[TimelineEvent]:
        """The newest events in (after, until], oldest first: one more than are told, if there are more."""
        if after >= until:
            return []
        events = room.timeline.between(after, until)
        if events is None:
            events = await self._db.read(_newest, room, after, until)
        return events[-MOST_EVENTS - 1 :]

    async def _targets(self, room: LiveRoom, events: Sequence[TimelineEvent]) -> dict[str, TimelineEvent]:
        """The events that redactions and edits among `events` are about."""
        wanted = [target for each in events if (target := update_frames.target_of(each.event)) is not None]
        found = {target: entry for target in wanted if (entry := room.timeline.find(target)) is not None}
        missing = [target for target in wanted if target not in found]
        return found | (await self._db.read(_by_id, room, missing) if missing else {})


def _since(request: SyncRequest) -> StreamToken:
    assert request.since is not None, "who has no token yet is told nothing but one"
    return request.since


def _said_before(room: LiveRoom, events: Sequence[TimelineEvent]) -> int:
    """When the event before these says that it was sent; 0 if it is not in memory."""
    if not events:
        return 0
    earlier = (each for each in reversed(room.timeline) if each.position < events[0].position)
    entry = next(earlier, None)
    return 0 if entry is None else entry.event.origin_server_ts


def _last_move(events: Sequence[TimelineEvent]) -> int | None:
    """Where somebody last came or went."""
    for entry in reversed(events):
        if entry.event.type == "m.room.member" and entry.event.state_key is not None:
            before, after = update_frames.membership_change(entry)
            if before != after:
                return entry.position
    return None


def _newest(txn: Transaction, room: LiveRoom, after: int, until: int) -> list[TimelineEvent]:
    number = txn.find_interned(room.room_id)
    assert number is not None
    rows = event_rows.before(txn, number, until, MOST_EVENTS + 1, after=after)
    return list(reversed(timeline_events(txn, rows, room.version)))


def _by_id(txn: Transaction, room: LiveRoom, event_ids: Sequence[str]) -> dict[str, TimelineEvent]:
    number = txn.find_interned(room.room_id)
    rows = [
        row
        for row in event_rows.by_id(txn, event_ids).values()
        if row.room == number and not row.flags & event_rows.HIDDEN
    ]
    return {str(entry.event.event_id): entry for entry in timeline_events(txn, rows, room.version)}


def _gap(txn: Transaction, room: LiveRoom, after: int, shown: Sequence[TimelineEvent]) -> Frame | None:
    """The sequence numbers between what the client has and what it is told."""
    number = txn.find_interned(room.room_id)
    assert number is not None
    first = im_conversations.seq_at(txn, number, after) + 1
    last = im_conversations.seq_at(txn, number, shown[0].position - 1)
    return None if last < first else {"type": "gap", "cid": room.room_id, "from_seq": first, "to_seq": last}


def _seqs(txn: Transaction, room_id: RoomID, positions: Sequence[int]) -> list[int]:
    number = txn.find_interned(room_id)
    return [0 if number is None else im_conversations.seq_at(txn, number, each) for each in positions]


def _direct(txn: Transaction, user_id: UserID, room_id: RoomID) -> tuple[Direct | None, FriendRequest | None]:
    return im_directs.find(txn, user_id, room_id), im_directs.newest_request(txn, room_id)
