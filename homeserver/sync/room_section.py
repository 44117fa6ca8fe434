"""One joined room in a `/sync` answer: its timeline, the state before it, its summary, and what is the reader's own.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from homeserver.events.client_format import client_event_json, federation_event_json
from homeserver.events.event import Event
from homeserver.events.heroes import heroes
from homeserver.ids import StateKey, UserID
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.history import History
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.state_at import StateAt
from homeserver.rooms.tokens import StreamToken
from homeserver.rooms.unread import UnreadCounts
from homeserver.sync.ephemeral import receipt_event, receipts_after, typing_event
from homeserver.sync.feeds import RoomView
from homeserver.sync.fragments import Fragment, FragmentKey, Fragments
from homeserver.sync.lazy_members import LazyMembers
from homeserver.sync.request import SyncRequest
from homeserver.sync.windows import Window, settle
from storage.concealment import Concealment

_encode = msgspec.json.encode


class Look:
    """One reader's look at one room: from where (None: from the beginning) to where.

    `is_first` if the reader needs the room as if they had never seen it; `after` then is -1, else where they stand.
    `is_back` if they have left the room and come back since: of what happened meanwhile they may not see everything.
    `concealed` is what the reader has hidden of the room.
    """

    __slots__ = (
        "after",
        "concealed",
        "ignored",
        "is_back",
        "is_first",
        "request",
        "room",
        "since",
        "until",
        "view",
    )

    def __init__(
        self,
        request: SyncRequest,
        room: LiveRoom,
        view: RoomView,
        until: StreamToken,
        ignored: frozenset[UserID],
        concealed: Concealment | None = None,
    ) -> None:
        self.request = request
        self.room = room
        self.view = view
        self.since = since = request.since
        self.until = until
        self.ignored = ignored
        self.concealed = concealed
        is_new = since is None or view.joined_at > since.position
        self.is_back = is_new and since is not None and view.was_joined_at(since.position)
        self.is_first = is_new and not self.is_back
        self.after = -1 if since is None or self.is_first else since.position

    @property
    def is_summarised(self) -> bool:
        """Whether the answer says anew who is in the room."""
        return self.is_first or self.room.state_position > self.after


class RoomSections:
    """Builds the sections of joined rooms."""

    def __init__(
        self,
        history: History,
        state_at: StateAt,
        bundles: Bundles,
        fragments: Fragments,
        lazy: LazyMembers,
    ) -> None:
        self._history = history
        self._state_at = state_at
        self._bundles = bundles
        self._fragments = fragments
        self._lazy = lazy

    def ready(self, look: Look) -> bytes | None:
        """The part of the section beside `own_part`, if memory alone can answer; None if it takes `build`."""
        if not _is_shareable(look):
            return None
        request, room = look.request, look.room
        wanted = request.filter.room
        key = _key(look)
        fragment = self._fragments.find(key)
        is_own = (fragment is None or request.user_id in fragment.authors) and _holds_own(look)
        if fragment is not None and not is_own:
            return fragment.json
        if look.is_first or request.full_state:
            return None
        if look.after < room.completed_at or request.filter.is_federation_format:
            return None
        events = room.timeline.between(look.after, look.until.position)
        if events is None or (events and events[0].event.state_key is not None):
            return None
        states = {event.event.key: event.event for event in events if event.event.key is not None}
        if events and not states and events[0].state_before != room.root:
            return None
        if not wanted.timeline.is_default:
            if states:
                return None
            events = [event for event in events if wanted.timeline.matches_timeline(event)]
        if len(events) > wanted.timeline.limit:
            return None
        window = Window(events, False, events[0].position - 1 if events else look.until.position)
        state = _matching(look, states) if states and request.wants_state_after else {}
        if wanted.lazy_members:
            state = self._reduce(look, window, state)
        section = self._encode(look, window, _plain(look, window), state.values())
        return section if is_own or wanted.lazy_members else self._keep(key, look, section)

    async def build(self, look: Look) -> bytes:
        """The shared part of the section, with the help of the database."""
        shared = _is_shareable(look) and not _holds_own(look) and not _may_bundle(look)
        lazy = look.request.filter.room.lazy_members
        key = _key(look)
        if shared and not lazy and (fragment := self._fragments.find(key)) is not None:
            return fragment.json
        window = await self._window(look)
        state = await self._state(look, window)
        if lazy:
            state = self._reduce(look, window, state)
        section = self._encode(look, window, await self._shown(look, window), state.values())
        return self._keep(key, look, section) if shared and not lazy else section

    def _reduce(self, look: Look, window: Window, state: dict[StateKey, Event]) -> dict[StateKey, Event]:
        """The state with only those members that the reader needs and does not have."""
        request = look.request
        return self._lazy.reduce(
            look.room,
            request.user_id,
            request.device_id,
            state,
            window.events,
            is_first=look.is_first or request.full_state,
            redundant=request.filter.room.redundant_members,
            after_end=request.wants_state_after,
            summarised=look.is_summarised,
        )

    def _keep(self, key: FragmentKey, look: Look, section: bytes) -> bytes:
        self._fragments.keep(key, Fragment(section, _authors(look)))
        return section

    async def _window(self, look: Look) -> Window:
        room, wanted = look.room, look.request.filter.room.timeline
        found = await self._history.newest(
            room,
            look.request.user_id,
            until=look.until.position,
            after=None if look.is_first else look.after,
            limit=wanted.limit,
            accept=wanted.matches_timeline,
            ignored=look.ignored,
            # A member sees all that came while they were one.
            trusted=not look.is_first and not look.is_back,
        )
        start = found.events[0].position - 1 if found.events else look.until.position
        # A reader who has cleared the room is to drop what their client still has of it.
        cleared_at = 0 if look.concealed is None else look.concealed.cleared_at
        limited = found.more or (not look.is_first and cleared_at > look.after)
        window = Window(found.events, limited, start)
        if not look.request.wants_state_after:
            end = await self._history.root_after(room, look.until.position)
            await settle(self._state_at, room, window, room.root if end is None else end)
        return window

    async def _shown(self, look: Look, window: Window) -> list[bytes]:
        """The events as the reader sees them: with aggregations where they may not know what relates to them."""
        timeline = look.room.timeline
        if look.request.filter.is_federation_format:
            return [federation_event_json(event.event) for event in window.events]
        if window.limited and any(
            event.event.event_id in timeline.bundled or event.position <= timeline.start
            for event in window.events
        ):
            return await self._bundles.json(
                look.room, window.events, look.request.user_id, look.request.device_id
            )
        return _plain(look, window)

    async def _state(self, look: Look, window: Window) -> dict[StateKey, Event]:
        """The state that the answer must carry beside the timeline."""
        room, request = look.room, look.request
        # An empty timeline starts at its end.
        root = None if request.wants_state_after else window.first_root
        if root is None:
            root = room.root
        if look.is_first or request.full_state:
            return _matching(look, {**await self._state_at.at(room, root), **window.hidden})
        old = await self._history.root_after(room, look.after)
        if old is None:
            return _matching(look, window.hidden)
        changes = await self._state_at.between(room, old, root)
        changed = {key: event for key, event in changes.items() if event is not None}
        if look.after < room.completed_at:
            # The reader was told of the room when not all of its members were known.
            full = await self._state_at.at(room, root)
            changed |= {key: event for key, event in full.items() if key[0] == "m.room.member"}
        return _matching(look, changed | window.hidden)

    @staticmethod
    def _encode(look: Look, window: Window, shown: list[bytes], state: Iterable[Event]) -> bytes:
        parts = [
            b'"timeline":{"events":[',
            b",".join(shown),
            b'],"limited":true,"prev_batch":"s' if window.limited else b'],"limited":false,"prev_batch":"s',
            str(window.start).encode(),
            b'_0"}',
        ]
        if look.request.filter.is_federation_format:
            states = b",".join([federation_event_json(event) for event in state])
        else:
            states = b",".join([client_event_json(event, None) for event in state])
        if states or look.request.wants_state_after:
            parts += [b',"', look.request.state_key.encode(), b'":{"events":[', states, b"]}"]
        return b"".join(parts)

    def own_part(self, look: Look, account_data: Sequence[bytes], counts: UnreadCounts | None) -> bytes:
        """What only this reader gets: unread counts, ephemeral events, account data, and heroes that leave them out."""
        parts: list[bytes] = []
        ephemeral = self._ephemeral(look)
        if ephemeral:
            parts += [b',"ephemeral":{"events":[', b",".join(ephemeral), b"]}"]
        if account_data:
            parts += [b',"account_data":{"events":[', b",".join(account_data), b"]}"]
        if look.is_summarised:
            parts += [b',"summary":', _encode(summary(look.room, look.request.user_id))]
        parts.append(_unread(look, counts))
        return b"".join(parts)

    @staticmethod
    def _ephemeral(look: Look) -> list[bytes]:
        room, wanted = look.room, look.request.filter.room.ephemeral
        events: list[bytes] = []
        receipts = receipts_after(room, look.request.user_id, look.after)
        if receipts and wanted.includes_type("m.receipt"):
            events.append(_encode(receipt_event(receipts)))
        if look.is_first or look.since is None:
            changed = bool(room.typing)
        else:
            changed = room.typing_position > look.since.ephemeral
        if changed and wanted.includes_type("m.typing"):
            events.append(_encode(typing_event(room)))
        return events


def _unread(look: Look, counts: UnreadCounts | None) -> bytes:
    if counts is None:
        return b""
    if not look.request.filter.room.timeline.unread_thread_notifications:
        return b',"unread_notifications":{"highlight_count":%d,"notification_count":%d}' % (
            counts.all_highlight,
            counts.all_notify,
        )
    unread = b',"unread_notifications":{"highlight_count":%d,"notification_count":%d}' % (
        counts.highlight,
        counts.notify,
    )
    if not counts.threads:
        return unread
    threads = {
        root: {"notification_count": notify, "highlight_count": highlight}
        for root, (notify, highlight) in counts.threads.items()
    }
    return unread + b',"unread_thread_notifications":' + _encode(threads)


def _is_shareable(look: Look) -> bool:
    """Whether every member who looks from here to there sees the same, but for what they have sent themselves."""
    if look.ignored or look.concealed or look.is_back or not look.request.filter.room.is_shareable:
        return False
    return not look.is_first or look.room.history_visibility in ("shared", "world_readable")


def _holds_own(look: Look) -> bool:
    """Whether the reader's device has sent something of it, of which it is told more than others."""
    request = look.request
    for event in reversed(look.room.timeline):
        if event.position <= look.after:
            break
        if event.event.sender == request.user_id and (
            event.extra_unsigned is not None
            or (event.txn_id is not None and event.device_id == request.device_id)
        ):
            return True
    return False


def _authors(look: Look) -> frozenset[UserID]:
    """Those for whom `_holds_own` has to be asked."""
    authors: set[UserID] = set()
    for event in reversed(look.room.timeline):
        if event.position <= look.after:
            break
        if event.extra_unsigned is not None or event.txn_id is not None:
            authors.add(event.event.sender)
    return frozenset(authors)


def _key(look: Look) -> FragmentKey:
    request, room = look.request, look.room
    # The room may have gone on since the place to answer for was taken: that is for the next answer.
    until = min(room.position, look.until.position)
    return FragmentKey(
        room.room_id, look.after, until, request.filter.key, request.state_key, request.full_state
    )


def _plain(look: Look, window: Window) -> list[bytes]:
    """The events as they are; those of the reader's own device with what only it is told."""
    user, device = look.request.user_id, look.request.device_id
    return [event.json_for(user, device) for event in window.events]


def _may_bundle(look: Look) -> bool:
    """Whether the timeline may have a gap before it, and then events with aggregations of the reader's own."""
    timeline, limit = look.room.timeline, look.request.filter.room.timeline.limit
    if not look.is_first:
        events = timeline.between(look.after, look.until.position)
        if events is not None and len(events) <= limit:
            return False
    return bool(timeline.bundled) or (timeline.start > 0 and limit > len(timeline))


def _matching(look: Look, state: Mapping[StateKey, Event]) -> dict[StateKey, Event]:
    wanted = look.request.filter.room.state
    if wanted.is_default:
        return dict(state)
    return {key: event for key, event in state.items() if wanted.matches(event)}


def summary(room: LiveRoom, user_id: UserID) -> dict[str, object]:
    """The room summary: who is in it, for clients that know not all members."""
    counts: dict[str, object] = {
        "m.joined_member_count": len(room.joined),
        "m.invited_member_count": len(room.invited),
    }
    found = heroes(room.state, user_id)
    if found:
        counts["m.heroes"] = found
    return counts
