"""Conversations: a user's list of them with what is new in each, and what the user says about one.

Unread counts follow B.6 of the design: what came after what the user has read, cleared or answered; never their own
messages, nor what is redacted, hidden or of somebody they ignore. Muting does not change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.ids import EventID, RoomID, UserID, localpart_of
from homeserver.im.conversation_projection import CONVERSATION, FAVOURITE, MARKED_UNREAD
from homeserver.im.errors import NotFriend
from homeserver.im.follower import Follower
from homeserver.im.friend_projection import FriendProjection
from homeserver.im.message_views import MessageViews
from homeserver.im.muting import Muting
from homeserver.im.own_data import OwnData
from homeserver.im.people import People
from homeserver.im.settings import ignored_by
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock
from homeserver.users.account_data import Tags
from storage import account_data, im_conversations, im_directs, relations
from storage import events as event_rows
from storage.database import Database
from storage.im_conversations import DM, GROUP, Listed
from storage.im_directs import Direct
from storage.transaction import Transaction

Which = Literal["all", "unread", "pinned", "dm", "group"]
MAX_DRAFT = 10_000
LONGEST_MUTE_MS = 10 * 366 * 24 * 3600 * 1000
KINDS = {DM: "dm", GROUP: "group"}
_KIND_NUMBERS = {name: kind for kind, name in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Counted:
    """A conversation with what is new in it."""

    listed: Listed
    unread: int
    read_seq: int
    direct: Direct | None
    state: Mapping[str, Any]
    last_event_id: EventID | None
    is_last_related: bool
    """Whether somebody has changed the newest message, or reacted to it."""

    @property
    def is_hidden(self) -> bool:
        hidden = self.listed.mine.hidden_seq
        return hidden is not None and self.listed.last_seq <= hidden


class ConversationParts:
    """Where a conversation's parts come from."""

    def __init__(
        self, rooms: Rooms, history: History, views: MessageViews, people: People, muting: Muting
    ) -> None:
        self._rooms = rooms
        self._history = history
        self._views = views
        self._people = people
        self._muting = muting

    async def load(self, room_id: RoomID) -> LiveRoom:
        return await self._rooms.load(room_id)

    async def shown(self, user_id: UserID, counted: Sequence[Counted]) -> list[dict[str, Any]]:
        """The conversations as they are answered."""
        mutes = await self._muting.of(user_id)
        peers = [each.direct.peer for each in counted if each.direct is not None]
        people = await self._people.nicknames(user_id, peers)
        return [await self._shown(user_id, each, people, mutes) for each in counted]

    async def _shown(
        self,
        user_id: UserID,
        each: Counted,
        people: Mapping[UserID, dict[str, Any]],
        mutes: Mapping[RoomID, str],
    ) -> dict[str, Any]:
        listed, mine = each.listed, each.listed.mine
        room = await self._rooms.load(listed.room_id)
        counts = await self._history.unread_counts(room, user_id, listed.joined_at)
        peer = None if each.direct is None else people[each.direct.peer]
        shown: dict[str, Any] = {
            "cid": listed.room_id,
            "kind": KINDS.get(listed.kind, "room"),
            "title": _title(room, user_id, each.direct, peer),
            "avatar": peer["avatar"] if peer is not None else room.content("m.room.avatar").get("url"),
            "last_seq": listed.last_seq,
            "read_seq": each.read_seq,
            "unread": 0 if each.is_hidden else each.unread,
            # Whoever has answered has read, receipt or not.
            "notify_count": min(counts.all_notify, each.unread),
            "mention_count": min(counts.all_highlight, each.unread),
            "pinned": mine.pinned,
            "muted": mutes.get(listed.room_id, "off"),
            "marked_unread": mine.marked_unread,
            "hidden": each.is_hidden,
            "draft": str(each.state.get("draft") or ""),
            "encrypted": room.is_encrypted,
        }
        if mine.pinned:
            shown["order"] = mine.pin_order
        if isinstance(each.state.get("mute_until"), int) and shown["muted"] != "off":
            shown["mute_until"] = each.state["mute_until"]
        if peer is not None and each.direct is not None:
            shown["peer"] = peer
            shown["friends"] = each.direct.friends
        if listed.kind == GROUP:
            shown["group"] = {"gid": listed.room_id, "members": len(room.joined)}
        shown["last_message"] = await self._last_message(room, user_id, each)
        return shown

    async def _last_message(self, room: LiveRoom, user_id: UserID, counted: Counted) -> dict[str, Any] | None:
        """The newest message that the user sees."""
        listed, event_id = counted.listed, counted.last_event_id
        if event_id is None or listed.last_position <= listed.mine.cleared_position:
            return None
        entry = room.timeline.find(event_id)
        if entry is not None:
            (item,) = await self._views.show(room, user_id, None, [entry], related=counted.is_last_related)
            if "hidden" not in item:
                return item
        page = await self._history.backwards(
            room,
            user_id,
            start=room.position,
            after=None,
            limit=1,
            accept=lambda each: each.event.type in im_conversations.COUNTABLE,
        )
        items = await self._views.show(room, user_id, None, page.events)
        return items[0] if items else None


class Conversations:
    """The conversations of users."""

    def __init__(
        self,
        db: Database,
        follower: Follower,
        parts: ConversationParts,
        own: OwnData,
        tags: Tags,
        muting: Muting,
        clock: Clock,
    ) -> None:
        self._db = db
        self._follower = follower
        self._parts = parts
        self._own = own
        self._tags = tags
        self._clock = clock
        self._muting = muting

    async def page(
        self, user_id: UserID, which: Which, *, offset: tuple[int, float, int, int] | None, limit: int
    ) -> tuple[list[dict[str, Any]], tuple[int, float, int, int] | None]:
        """A page of the list, and the place of its last one if there are more."""
        await self._follower.settled()
        found = await self._db.read(_page, user_id, which, offset, limit)
        more = found[limit - 1].listed.order if len(found) > limit else None
        return await self._parts.shown(user_id, found[:limit]), more

    async def view(self, user_id: UserID, cid: RoomID) -> dict[str, Any]:
        """
        Raises:
            NotFound: the user has no such conversation.
        """
        (shown,) = await self._parts.shown(user_id, [await self._load(user_id, cid)])
        return shown

    async def unread(self, user_id: UserID) -> list[dict[str, Any]]:
        """What is unread, for each conversation with anything."""
        await self._follower.settled()
        return await self._db.read(_unread, user_id)

    async def with_friend(self, user_id: UserID, friend: UserID) -> RoomID:
        """The room of two friends.

        Raises:
            NotFriend: they are none.
        """
        await self._follower.settled(FriendProjection)
        for direct in await self._db.read(im_directs.between, user_id, friend):
            if direct.friends:
                return direct.room_id
        raise NotFriend(f"{friend} is not your friend")

    async def find_direct(self, user_id: UserID, cid: RoomID) -> Direct | None:
        await self._follower.settled(FriendProjection)
        return await self._db.read(im_directs.find, user_id, cid)

    async def head(self, user_id: UserID, cid: RoomID) -> Listed:
        """
        Raises:
            NotFound: the user has no such conversation.
        """
        return (await self._load(user_id, cid)).listed

    async def change(self, user_id: UserID, cid: RoomID, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Pin, mute, hide or mark a conversation, or keep a draft with it.

        Raises:
            NotFound: the user has no such conversation.
        """
        counted = await self._load(user_id, cid)
        check_changes(changes, self._clock.now_ms())
        if "mute_until" in changes and "muted" not in changes:
            muted = (await self._muting.of(user_id)).get(cid)
            if muted is None:
                raise InvalidParam("mute_until: the conversation is not muted")
            changes = {**changes, "muted": muted}
        if "pinned" in changes or "order" in changes:
            pinned = changes.get("pinned", counted.listed.mine.pinned)
            await self._pin(user_id, cid, changes.get("order"), pinned=pinned)
        if "muted" in changes:
            await self._muting.set(user_id, cid, changes["muted"], changes.get("mute_until"))
        if "marked_unread" in changes:
            await self._own.merge(user_id, cid, MARKED_UNREAD[0], {"unread": changes["marked_unread"]})
        kept = {key: changes[key] or None for key in ("draft",) if key in changes}
        if "hidden" in changes:
            hidden = changes["hidden"]
            kept |= {"hidden": hidden or None, "hidden_seq": counted.listed.last_seq if hidden else None}
        if kept:
            await self._own.merge(user_id, cid, CONVERSATION, kept)
        return await self.view(user_id, cid)

    async def _pin(self, user_id: UserID, cid: RoomID, order: float | None, *, pinned: bool) -> None:
        if not pinned:
            await self._tags.delete(user_id, cid, FAVOURITE)
            return
        await self._tags.set(user_id, cid, FAVOURITE, {} if order is None else {"order": order})

    async def _load(self, user_id: UserID, cid: RoomID) -> Counted:
        await self._follower.settled()
        found = await self._db.read(_one, user_id, cid)
        if found is None:
            raise NotFound(f"no conversation {cid}")
        return found


def check_changes(changes: Mapping[str, Any], now_ms: int) -> None:
    """
    Raises:
        InvalidParam: naming what cannot be.
    """
    if len(changes.get("draft", "")) > MAX_DRAFT:
        raise InvalidParam(f"a draft has at most {MAX_DRAFT} characters")
    if not 0 <= changes.get("order", 0) <= 1:
        raise InvalidParam("order must be between 0 and 1")
    until_ms = changes.get("mute_until")
    if until_ms is not None and not now_ms < until_ms <= now_ms + LONGEST_MUTE_MS:
        raise InvalidParam("mute_until must be in the coming ten years, in milliseconds")


def check_joined(room: LiveRoom, user_id: UserID) -> None:
    if not room.is_joined(user_id):
        raise Forbidden("you are not in this conversation")


def _counted(
    txn: Transaction, user_id: UserID, listed: Sequence[Listed], ignored: frozenset[UserID]
) -> list[Counted]:
    """What is new in each, and what belongs to it: a fixed number of queries, however many there are."""
    rooms = [each.room for each in listed]
    new = im_conversations.unread_of_all(txn, user_id, listed, ignored)
    directs = im_directs.of_rooms(txn, user_id, [each.room for each in listed if each.kind == DM])
    kept = account_data.of_rooms(txn, user_id, rooms, CONVERSATION)
    last = event_rows.by_number(txn, [each.last_event for each in listed if each.last_event is not None])
    related = relations.with_children(txn, [row.event_id for row in last.values()])
    found = []
    for each in listed:
        row = None if each.last_event is None else last.get(each.last_event)
        state = msgspec.json.decode(kept.get(each.room, b"{}"))
        found.append(
            Counted(
                each,
                *new[each.room],
                directs.get(each.room_id),
                # Clients may write anything there.
                state if isinstance(state, dict) else {},
                None if row is None else row.event_id,
                row is not None and row.event_id in related,
            )
        )
    return found


def _one(txn: Transaction, user_id: UserID, cid: RoomID) -> Counted | None:
    listed = im_conversations.find(txn, user_id, cid)
    return None if listed is None else _counted(txn, user_id, [listed], ignored_by(txn, user_id))[0]


def _page(
    txn: Transaction,
    user_id: UserID,
    which: Which,
    offset: tuple[int, float, int, int] | None,
    limit: int,
) -> list[Counted]:
    ignored = ignored_by(txn, user_id)
    kind = _KIND_NUMBERS.get(which)
    found: list[Counted] = []
    while len(found) <= limit:
        # Whether anything is unread is counted; whatever else is asked for the list knows.
        listed = im_conversations.list_of_user(
            txn, user_id, after=offset, limit=limit + 1, kind=kind, is_shown=True
        )
        for counted in _counted(txn, user_id, listed, ignored):
            mine = counted.listed.mine
            if which == "pinned" and not mine.pinned:
                return found
            if which != "unread" or counted.unread or mine.marked_unread:
                found.append(counted)
            if len(found) > limit:
                break
        if len(listed) <= limit:
            break
        offset = listed[-1].order
    return found


def _unread(txn: Transaction, user_id: UserID) -> list[dict[str, Any]]:
    listed = im_conversations.list_of_user(txn, user_id, is_shown=True)
    new = im_conversations.unread_of_all(txn, user_id, listed, ignored_by(txn, user_id))
    found: list[dict[str, Any]] = []
    for each in listed:
        unread, read_seq = new[each.room]
        if unread:
            found.append(
                {"cid": each.room_id, "unread": unread, "read_seq": read_seq, "last_seq": each.last_seq}
            )
    return found


def _title(room: LiveRoom, user_id: UserID, direct: Direct | None, peer: Mapping[str, Any] | None) -> str:
    if direct is not None and peer is not None:
        return direct.remark or str(peer["nickname"])
    name = room.content("m.room.name").get("name")
    if isinstance(name, str) and name:
        return name
    others = sorted(user for user in room.joined if user != user_id)[:3]
    return ", ".join(room.display_name(user) or localpart_of(user) for user in others)
