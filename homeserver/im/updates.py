"""The realtime stream: what is new to a device since a token of `/sync`, as frames (design, B.12).

It is the sync engine with another composer: the same feeds, the same waiting, the same tokens, so a client may change
over between `/sync`, `/updates` and either socket and misses nothing. To-device messages are not told here; the token
holds them back for whoever reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import NotFound
from homeserver.ids import RoomID, UserID
from homeserver.im.conversation_projection import OWN_TYPES
from homeserver.im.conversations import Conversations
from homeserver.im.muting import Muting
from homeserver.im.people import People
from homeserver.im.update_frames import Frame
from homeserver.im.update_rooms import RoomUpdates
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.answer import Answer
from homeserver.sync.composer import Composer
from homeserver.sync.feeds import Feed
from homeserver.sync.request import SyncRequest
from storage import im_updates
from storage.database import Database
from storage.im_circles import CONTACT
from storage.im_updates import NOTHING, OwnChanges
from storage.transaction import Transaction

_encode = msgspec.json.encode


@dataclass(slots=True)
class Updates(Answer):
    """An answer that a socket sends frame by frame."""

    frames: Sequence[bytes]


@dataclass(slots=True, frozen=True)
class UpdateSources:
    """Where the frames of one's own come from."""

    conversations: Conversations
    muting: Muting
    people: People


class UpdatesComposer:
    """Makes the answers of `/updates` and of the socket."""

    def __init__(self, db: Database, stock: Composer, rooms: RoomUpdates, sources: UpdateSources) -> None:
        self._db = db
        self._stock = stock
        self._rooms = rooms
        self._sources = sources

    def now(self) -> StreamToken:
        return self._stock.now()

    def has_news(self, feed: Feed, since: StreamToken) -> bool:
        return feed.position > since.position or feed.ephemeral > since.ephemeral

    async def nothing(self, request: SyncRequest) -> Updates:
        return _updates([], self._held_back(None, request, self.now()))

    async def compose(self, feed: Feed, request: SyncRequest) -> Updates:
        """Everything since `request.since`; without a token only the one to begin from."""
        since, until = request.since, self.now()
        if since is None:
            return _updates([], self._held_back(feed, request, until))
        told: list[tuple[int, Frame]] = []
        changed: dict[RoomID, None] = {}
        for room_id, view in self._stock.moved(feed, request):
            update = await self._rooms.of(request, room_id, view, until)
            told += update.frames
            if update.is_changed:
                changed[room_id] = None
        own = NOTHING
        if max(feed.account_data, feed.deliveries) > since.position:
            own = await self._db.read(_own_changes, feed, since, until)
        told += _hidden(own)
        told.sort(key=lambda pair: pair[0])
        frames = [frame for _, frame in told]
        frames += [_delivery(each) for each in own.deliveries]
        frames += await self._presence(feed, request, since)
        for room_id, kind in own.account_data:
            if kind in OWN_TYPES:
                changed[room_id] = None
        frames += await self._conversations(feed.user_id, changed)
        frames += await self._contacts(feed.user_id, own.account_data)
        if own.rules_changed:
            muted = dict(await self._sources.muting.of(feed.user_id))
            frames.append({"type": "conversation.updated", "cid": None, "muted": muted})
        return _updates(frames, self._held_back(feed, request, until))

    async def _presence(self, feed: Feed, request: SyncRequest, since: StreamToken) -> list[Frame]:
        wanted, people = request.filter.presence, self._sources.people
        users = [
            user
            for user, position in feed.presence.items()
            if position > since.ephemeral and wanted.includes_sender(user)
        ]
        if not users:
            return []
        seen = await people.visible(feed.user_id, users)
        return [
            {"type": "presence", "user_id": user, "presence": people.presence(user)}
            for user in users
            if user in seen
        ]

    async def _conversations(self, user_id: UserID, changed: Iterable[RoomID]) -> list[Frame]:
        frames: list[Frame] = []
        for room_id in changed:
            try:
                shown: dict[str, Any] | None = await self._sources.conversations.view(user_id, room_id)
            except NotFound:
                shown = None
            frames.append({"type": "conversation.updated", "cid": room_id, "conversation": shown})
        return frames

    async def _contacts(self, user_id: UserID, changed: Iterable[tuple[RoomID, str]]) -> list[Frame]:
        frames: list[Frame] = []
        for room_id, kind in changed:
            direct = None
            if kind == CONTACT:
                direct = await self._sources.conversations.find_direct(user_id, room_id)
            if direct is not None and direct.friends:
                frame: Frame = {"type": "friend.updated", "user_id": direct.peer, "cid": room_id}
                frames.append(frame | {"remark": direct.remark, "category_id": direct.category})
        return frames

    @staticmethod
    def _held_back(feed: Feed | None, request: SyncRequest, token: StreamToken) -> StreamToken:
        """The token with the place up to which the device has its to-device messages."""
        received = 0 if request.since is None else request.since.received
        is_behind = received < token.position if feed is None else received < feed.to_device
        return token._replace(to_device=received) if is_behind else token


def _updates(frames: Sequence[Frame], token: StreamToken) -> Updates:
    ready = [_encode(frame) for frame in frames]
    body = b'{"items":[%b],"next_batch":"%b"}' % (b",".join(ready), str(token).encode())
    return Updates(body, token, not ready, ready)


def _own_changes(txn: Transaction, feed: Feed, since: StreamToken, until: StreamToken) -> OwnChanges:
    return im_updates.own_changes(
        txn,
        feed.user_id,
        since.position,
        until.position,
        has_data=feed.account_data > since.position,
        has_deliveries=feed.deliveries > since.position,
    )


def _hidden(own: OwnChanges) -> list[tuple[int, Frame]]:
    """What the user has deleted for themselves, on whichever device."""
    return [
        (
            each.position,
            {
                "type": "message",
                "cid": each.room_id,
                "seq": each.seq,
                "event_id": each.event_id,
                "message": {"cid": each.room_id, "seq": each.seq, "hidden": True},
            },
        )
        for each in own.hidden
    ]


def _delivery(each: im_updates.Delivered) -> Frame:
    return {
        "type": "delivery",
        "cid": each.room_id,
        "user_id": each.user_id,
        "event_id": each.event_id,
        "seq": each.seq,
        "ts": each.ts,
    }
